"""Overrides like `model.roi_heads.use_soft_nms=True`, checked before anything is built."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from detectron2.config import LazyConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch.nn.parallel import DistributedDataParallel

from eva_backbone.errors import InputError

from .call_keywords import call_keywords

# Plain groups of the recipe that are handed on as keywords.
_KEYWORD_GROUPS: dict[str, Callable] = {"train.ddp": DistributedDataParallel}
_KIND_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "a string"}


def apply_overrides(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Change `cfg` in place by strings `key=value` (Hydra's grammar), in their order.

    A key is valid when the recipe has it or when it is a keyword of the `_target_` it would be passed to.

    Raises:
        InputError: an override that cannot be read, an unknown key (the nearest valid one is named), or a value of
            another kind than the key takes.
    """
    for text in overrides:
        key, value = _parse(text)
        _check_value(text, key, value, *_find(cfg, key))
        LazyConfig.apply_overrides(cfg, [text])
    return cfg


def _parse(text: str) -> tuple[str, Any]:
    if text.startswith("--"):
        raise InputError(f"{text} stands behind the overrides; put options with -- before the first key=value")
    try:
        override = OverridesParser.create().parse_overrides([text])[0]
    except HydraException as error:
        key, equals, value = text.partition("=")
        mend = f"""quote the value: '{key}="{value}"'""" if equals else "write key=value"
        raise InputError(f"the override {text} cannot be read; {mend}") from error
    if override.is_delete() or override.is_sweep_override():
        raise InputError(f"the override {text} must set one key to one value; write key=value, or key=[a,b] for a list")
    return override.key_or_group, override.value()


def _find(cfg: DictConfig, key: str) -> tuple[Any, type | None]:
    """Present value of `key` (None where the recipe does not list it) and the kind its keyword is annotated with."""
    node: Any = cfg
    path = ""
    kind = None
    parts = key.split(".")
    for depth, part in enumerate(parts):
        children = _children(node, path)
        if children is not None and part not in children:
            raise InputError(_unknown(cfg, key, path, children))
        kind = children[part] if children is not None else None
        node = _get(node, part)
        path = f"{path}.{part}" if path else part
        rest = parts[depth + 1 :]
        if rest and not OmegaConf.is_config(node):
            if node is None and (children is None or rest[0] == "_target_"):
                return None, None  # a new entry of a free-form dict, or a callable for a keyword that had none
            raise InputError(f"{key} is no key: {path} is not a group, its value is {node!r}; set {path} itself")
    return node, kind


def _children(node: Any, path: str) -> dict[str, type | None] | None:
    """Valid next parts of a key below `node`, with their kinds; None when every part is valid."""
    if isinstance(node, ListConfig):
        return {str(i): None for i in range(len(node))}
    listed: dict[str, type | None] = dict.fromkeys(map(str, node.keys()))
    target = node["_target_"] if "_target_" in node else _KEYWORD_GROUPS.get(path)
    if target is not None:
        keywords = call_keywords(target)
        return None if keywords is None else {**listed, **keywords}
    # A dict inside the arguments of a call is free-form.
    parent = node._get_parent()
    while parent is not None:
        if isinstance(parent, DictConfig) and "_target_" in parent:
            return None
        parent = parent._get_parent()
    return listed


def _get(node: Any, part: str) -> Any:
    if isinstance(node, ListConfig):
        return node[int(part)]
    return node.get(part)


def _unknown(cfg: DictConfig, key: str, path: str, children: dict[str, type | None]) -> str:
    last = key.rpartition(".")[2]
    siblings = [f"{path}.{name}" if path else name for name in children]
    depth = path.count(".") + 1 if path else 0
    beginning, rest = ".".join(key.split(".")[: depth + 1]), key.split(".")[depth + 1 :]
    near = [".".join([name, *rest]) for name in difflib.get_close_matches(beginning, siblings, n=1)]
    if not near:
        everything = list(_all_keys(cfg, ""))
        same_end = [name for name in everything if name.rpartition(".")[2] == last]
        near = difflib.get_close_matches(key, same_end or everything, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"valid here: {', '.join(sorted(children))}"
    return f"{key} is no key of this config; {hint}"


def _all_keys(node: Any, path: str) -> Iterator[str]:
    if not OmegaConf.is_config(node):
        return
    children = _children(node, path)
    for name in map(str, node.keys()) if children is None else children:
        full = f"{path}.{name}" if path else name
        yield full
        if isinstance(node, ListConfig) or (name in node and not OmegaConf.is_interpolation(node, name)):
            yield from _all_keys(_get(node, name), full)


def _check_value(text: str, key: str, value: Any, present: Any, kind: type | None) -> None:
    if isinstance(present, (ListConfig, DictConfig)):
        expected = "a list like [a,b]" if isinstance(present, ListConfig) else None
        if expected is None:
            fits = value is None or isinstance(value, dict)
            expected = "a group: set the keys below it, or null to drop it"
        else:
            fits = value is None or isinstance(value, list)
    else:
        kind = kind or (type(present) if type(present) in _KIND_NAMES else None)
        fits = kind is None or value is None or _is_kind(value, kind) or (kind is str and isinstance(value, list))
        expected = None if kind is None else _KIND_NAMES.get(kind)
    if not fits:
        null = " (the empty value is written null)" if value == "None" else ""
        raise InputError(f"{text}: {key} takes {expected}, not {value!r}{null}")


def _is_kind(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)
