"""Read the config.yaml next to a checkpoint without trusting it.

A config is code: it names functions that are called. The config next to a file of unknown origin is used only if its
model is built from classes and functions that the project's own recipes use too. Only the model is taken from it, with
references replaced by values, so that nothing can be called that was not checked.
"""

import re
from collections.abc import Callable, Iterable
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import yaml
from detectron2.layers import ShapeSpec
from omegaconf import OmegaConf

from eva_backbone.errors import InputError

from .recipes import Recipe, model_targets

_NAME = "config.yaml"
_MAX_BYTES = 2**20
# A relative reference has one dot per level up; one without dots starts at the top.
_REFERENCE = re.compile(r"\$\{(\.*)(\w+(?:\.\w+)*)\}")


class _PlainLoader(yaml.SafeLoader):
    """Load plain values and the two kinds of objects that runs write: names of functions, as text, and shapes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases, which can expand to any size")
        return super().compose_node(parent, index)


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda _loader, name, _node: name)
_PlainLoader.add_constructor(
    f"tag:yaml.org,2002:python/object:{ShapeSpec.__module__}.ShapeSpec",
    lambda loader, node: ShapeSpec(
        **{key: value and int(value) for key, value in loader.construct_mapping(node).items()}
    ),
)


def read_own_config(checkpoint: Path, trusted: Callable[[], Iterable[Recipe]]) -> Recipe | None:
    """Read the recipe of the run that wrote `checkpoint`; None without a config next to it.

    Args:
        checkpoint: A file or folder in the folder of a run.
        trusted: Returns the recipes whose models show what may be called.

    Raises:
        InputError: A config that cannot be read, or that builds its model from anything else.
    """
    path = checkpoint.parent / _NAME
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"it has {path.stat().st_size:,} bytes")
        content = yaml.load(path.read_text(encoding="utf-8"), _PlainLoader)
        evaluator: dict | None = {} if (content.get("dataloader") or {}).get("evaluator") else None
        used = {"model": _resolve(content, ("model",)), "dataloader": {"evaluator": evaluator}}
        recipe = Recipe(str(path), OmegaConf.create(used, flags={"allow_objects": True}))
        targets = model_targets(recipe)
    except Exception as error:  # a file of unknown origin can fail in many ways
        reason = " ".join(str(error).split())[:150]
        raise InputError(f"{path} is not the config of a run ({reason}); name a recipe with --config-file") from error
    unknown = sorted(targets - {name for other in trusted() for name in model_targets(other)})
    if unknown or not targets:
        built = ", ".join(unknown[:3]) or "nothing"
        raise InputError(
            f"{path} builds its model from {built}, which no recipe of the project does; if you trust it, name it "
            "with --config-file"
        )
    return recipe


def _resolve(content: Any, path: tuple) -> Any:
    """Copy the part of `content` at `path`, with references to values replaced by the values.

    References to lists or dicts are refused, because nested ones can expand to any size; so are objects, and texts that
    contain a reference among other characters.
    """
    node = reduce(getitem, path, content)
    if isinstance(node, dict):
        return {key: _resolve(content, (*path, key)) for key in node}
    if isinstance(node, list):
        return [_resolve(content, (*path, index)) for index in range(len(node))]
    if not isinstance(node, str | bool | int | float | ShapeSpec | None):
        raise ValueError(f"its model has a value that is {node!r}")
    if not isinstance(node, str) or "${" not in node:
        return node
    target = _target_of_reference(node, path)
    if target is None or isinstance(reduce(getitem, target, content), dict | list):
        raise ValueError(f"its model has {node}, which does not refer to a single value")
    return _resolve(content, target)


def _target_of_reference(text: str, path: tuple) -> tuple | None:
    """Return the path that a reference in the value at `path` refers to; None for any other text."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        return None
    num_levels_up, names = len(match[1]), match[2].split(".")
    start = path[:-num_levels_up] if num_levels_up else ()
    return (*start, *names)
