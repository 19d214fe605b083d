"""The recipes of the project, and their models without memory."""

import copy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from detectron2.config import instantiate
from detectron2.utils.registry import _convert_target_to_string
from omegaconf import DictConfig, OmegaConf
from torch import nn

from eva_engine.config import load_config
from eva_engine.config.config_file import RECIPE_ROOTS


@dataclass(frozen=True)
class Recipe:
    """A config, under the `path` that commands take; `text` is what its file says."""

    path: str
    cfg: DictConfig
    text: str = ""

    @property
    def has_evaluation(self) -> bool:
        """Whether it can be evaluated."""
        return OmegaConf.select(self.cfg, "dataloader.evaluator") is not None

    @cached_property
    def model_key(self) -> str:
        """Equal for recipes with the same model."""
        return repr(OmegaConf.to_container(self.cfg.model, resolve=False))

    def starts_from(self, path: Path) -> bool:
        """Whether the file's text speaks of the weight file `path`, whose ending may be another."""
        return self._mentions(path, "")

    def evaluates(self, path: Path) -> bool:
        """Whether the file's text says that `path` is to be evaluated with it."""
        return self._mentions(path, r"(To evaluate:|--eval-only).*")

    def _mentions(self, path: Path, behind: str) -> bool:
        pattern = rf"{behind}(?<![\w-]){re.escape(path.stem)}(?![\w-])"
        return re.search(pattern, self.text, re.DOTALL) is not None

    def build_on_meta(self) -> nn.Module:
        """The model, on the meta device. Without the teacher of pre-training: it has a file of its own."""
        cfg = self.cfg
        if "teacher" in cfg.model:
            cfg = copy.deepcopy(cfg)
            cfg.model.teacher = None
        with torch.device("meta"):
            return instantiate(cfg.model)


def find_recipes(*, demos: bool = False) -> list[Recipe]:
    """The recipes of this package, by path. Whatever lies in the working folder is not executed.

    demos: those of the demos instead.
    """
    root = next(root for root in RECIPE_ROOTS if (root / "projects").is_dir())
    files = sorted(root.glob("projects/*/configs/**/*.py"))
    recipes = []
    for file in files:
        path = file.relative_to(root)
        if "common" not in path.parts and ("demo" in path.parts) is demos:
            cfg = load_config(str(file))
            if "model" in cfg:
                recipes.append(Recipe(str(path), cfg, file.read_text(encoding="utf-8")))
    return recipes


def num_variants(recipe: Recipe, recipes: Iterable[Recipe]) -> int:
    """How many of `recipes`, in the same folder, are `recipe` with a few changes."""
    path = Path(recipe.path)
    pattern = re.compile(rf"^from \.{re.escape(path.stem)} import", re.MULTILINE)
    return sum(Path(other.path).parent == path.parent and bool(pattern.search(other.text)) for other in recipes)


def model_targets(recipe: Recipe) -> set[str]:
    """Dotted names of all that the recipe's model is built from."""
    targets, waiting = set(), [OmegaConf.to_container(recipe.cfg.model, resolve=False)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict) and "_target_" in node:
            target = node["_target_"]
            targets.add(target if isinstance(target, str) else _convert_target_to_string(target))
        if isinstance(node, dict | list):
            waiting += node.values() if isinstance(node, dict) else node
    return targets
