"""The config.yaml that a run writes beside its checkpoints, read without trusting it.

A config is code: it names what is called. One that lies beside a file of unknown origin is used only where its model is
built from what the project's own recipes build theirs from.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from detectron2.layers import ShapeSpec
from omegaconf import OmegaConf

from eva_backbone.errors import InputError

from .recipes import Recipe, model_targets

_NAME = "config.yaml"
_MAX_BYTES = 2**20


class _PlainLoader(yaml.SafeLoader):
    """Plain values, and the two kinds of objects that runs write: names of functions as text, and shapes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it repeats parts by reference, which can unfold to any size")
        return super().compose_node(parent, index)


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda _loader, name, _node: name)
_PlainLoader.add_constructor(
    f"tag:yaml.org,2002:python/object:{ShapeSpec.__module__}.ShapeSpec",
    lambda loader, node: ShapeSpec(**loader.construct_mapping(node)),
)


def read_own_config(checkpoint: Path, trusted: Callable[[], Iterable[Recipe]]) -> Recipe | None:
    """The recipe of the run that wrote `checkpoint`; None without a config beside it.

    trusted: gives the recipes that say what models may be built from.

    Raises:
        InputError: a config that cannot be read, or builds its model from something else.
    """
    path = checkpoint.parent / _NAME
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        content = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)
        recipe = Recipe(str(path), OmegaConf.create(content, flags={"allow_objects": True}))
        targets = model_targets(recipe)
    except Exception as error:  # a text of unknown origin fails in many ways
        raise InputError(f"{path} is no config of a run ({' '.join(str(error).split())[:150]})") from error
    unknown = sorted(targets - {name for other in trusted() for name in model_targets(other)})
    if unknown or not targets:
        built = ", ".join(unknown[:3]) or "nothing"
        raise InputError(
            f"{path} builds its model from {built}, which no recipe of the project does; name it with --config-file "
            "if you trust it"
        )
    return recipe
