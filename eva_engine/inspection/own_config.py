"""The config.yaml that a run writes beside its checkpoints, read without trusting it.

A config is code: it names what is called. One that lies beside a file of unknown origin is used only where its model is
built from what the project's own recipes build theirs from. The model is taken out of it, with values in the place of
references, so that nothing but what was checked can be called.
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
# Dots, levels up from the value, and names from there; names from the top without dots.
_REFERENCE = re.compile(r"\$\{(\.*)(\w+(?:\.\w+)*)\}")


class _PlainLoader(yaml.SafeLoader):
    """Plain values, and the two kinds of objects that runs write: names of functions as text, and shapes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it repeats parts by reference, which can unfold to any size")
        return super().compose_node(parent, index)


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda _loader, name, _node: name)
_PlainLoader.add_constructor(
    f"tag:yaml.org,2002:python/object:{ShapeSpec.__module__}.ShapeSpec",
    lambda loader, node: ShapeSpec(
        **{key: value and int(value) for key, value in loader.construct_mapping(node).items()}
    ),
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
        evaluator: dict | None = {} if (content.get("dataloader") or {}).get("evaluator") else None
        used = {"model": _resolve(content, ("model",)), "dataloader": {"evaluator": evaluator}}
        recipe = Recipe(str(path), OmegaConf.create(used, flags={"allow_objects": True}))
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


def _resolve(content: Any, path: tuple) -> Any:
    """The part of `content` at `path`, values in the place of references to values.

    A reference to a part is refused, since parts in parts can unfold to any size; so are functions, and texts that are
    put together.
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
    match = _REFERENCE.fullmatch(node)
    target = () if match is None else (*(path[: -len(match[1])] if match[1] else ()), *match[2].split("."))
    if not target or isinstance(reduce(getitem, target, content), dict | list):
        raise ValueError(f"its model has {node}, which refers to more than a value")
    return _resolve(content, target)
