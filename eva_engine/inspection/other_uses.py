"""Uses of weights other than as the weights of a recipe's model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from eva_engine.tasks import all_tasks

from .recipes import Recipe


@dataclass(frozen=True)
class OtherUse:
    """A use of the weights, and the command for it."""

    purpose: str
    command: str


def find_other_uses(weights: Mapping[str, Tensor], path: Path, recipes: Iterable[Recipe]) -> list[OtherUse]:
    """Return the uses that the installed tasks find, such as teacher of pre-training or text tower of a CLIP."""
    recipes = list(recipes)
    uses: list[OtherUse] = []
    for task in all_tasks():
        find_uses = task.load("other_uses")
        if find_uses is not None:
            uses += find_uses(weights, path, recipes)
    return uses
