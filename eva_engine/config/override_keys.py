"""Overrides such as `model.roi_heads.use_soft_nms=True`, checked before anything is built."""

import difflib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from detectron2.config import LazyConfig
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch.nn.parallel import DistributedDataParallel

from eva_backbone.errors import InputError

from .call_keywords import call_keywords
from .override_grammar import parse_override
from .trusted_names import import_name, join_key
from .value_checks import TYPE_NAMES, is_of_type

# Groups of the recipe that have no `_target_`, but whose keys are passed as keywords to a callable.
_KEYWORD_GROUPS: dict[str, Callable] = {"train.ddp": DistributedDataParallel}


def apply_overrides(cfg: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Apply strings `key=value` (in Hydra's grammar) to `cfg` in their order, in place.

    A key is valid if the recipe has it, or if it is a keyword of the `_target_` that it would be passed to.

    Raises:
        InputError: An override that cannot be parsed, an unknown key (the message suggests the most similar valid
            one), or a value of the wrong type.
    """
    for text in overrides:
        key, value = parse_override(text)
        current_value, annotated_type = _find(cfg, key)
        _check_value(text, key, value, current_value, annotated_type)
        LazyConfig.apply_overrides(cfg, [text])
    return cfg


def _find(cfg: DictConfig, key: str) -> tuple[Any, type | None]:
    """Return the current value of `key` (None if the recipe does not list it) and the type that its keyword takes.

    Raises:
        InputError: The key is not valid.
    """
    node: Any = cfg
    path = ""
    annotated_type = None
    names = key.split(".")
    for depth, name in enumerate(names):
        children = _children(node, path)
        if children is not None and name not in children:
            raise InputError(f"{key} is not a key of this config; {_suggest_key(cfg, names, depth, children)}")
        annotated_type = None if children is None else children[name]
        node = _child(node, name)
        path = join_key(path, name)
        rest = names[depth + 1 :]
        if rest and not OmegaConf.is_config(node):
            # Two kinds of key may still be created: an entry of a free-form dict, and a callable for a keyword
            # that the recipe does not list.
            if node is None and (children is None or rest[0] == "_target_"):
                return None, None
            raise InputError(f"{key} is not a key: {path} is not a group, its value is {node!r}; set {path} itself")
    return node, annotated_type


def _children(node: Any, path: str) -> dict[str, type | None] | None:
    """Return the valid names below `node` with the types that they take; None if every name is valid."""
    if isinstance(node, ListConfig):
        return {str(index): None for index in range(len(node))}
    listed: dict[str, type | None] = dict.fromkeys(map(str, node.keys()))
    target = node["_target_"] if "_target_" in node else _KEYWORD_GROUPS.get(path)
    if target is not None:
        if isinstance(target, str):
            target = import_name(target, f"{path}._target_")
        keywords = call_keywords(target)
        return None if keywords is None else {**listed, **keywords}
    # A dict inside the arguments of a call is free-form.
    parent = node._get_parent()
    while parent is not None:
        if isinstance(parent, DictConfig) and "_target_" in parent:
            return None
        parent = parent._get_parent()
    return listed


def _child(node: Any, name: str) -> Any:
    if isinstance(node, ListConfig):
        return node[int(name)]
    return node.get(name)


def _suggest_key(cfg: DictConfig, names: Sequence[str], depth: int, children: Collection[str]) -> str:
    """Suggest a valid key in place of `names`, of which the one at `depth` is the first that is not valid.

    A similar key in the same group is best. Otherwise the whole config is searched: for keys with the same last name,
    which the user put into the wrong group, and if there are none, for any similar key.
    """
    group = ".".join(names[:depth])
    siblings = [join_key(group, name) for name in children]
    # Compared with their group, so that even a short name such as the index of a list gets a suggestion.
    similar = difflib.get_close_matches(join_key(group, names[depth]), siblings, n=1)
    if similar:
        return f"did you mean {'.'.join([similar[0], *names[depth + 1 :]])}?"
    all_keys = list(_all_keys(cfg, ""))
    same_end = [key for key in all_keys if key.rpartition(".")[2] == names[-1]]
    similar = difflib.get_close_matches(".".join(names), same_end or all_keys, n=1, cutoff=0.4)
    if similar:
        return f"did you mean {similar[0]}?"
    return f"valid here: {', '.join(sorted(children))}"


def _all_keys(node: Any, path: str) -> Iterator[str]:
    """Return all valid keys below `node`."""
    if not OmegaConf.is_config(node):
        return
    children = _children(node, path)
    names = list(map(str, node.keys())) if children is None else list(children)
    for name in names:
        key = join_key(path, name)
        yield key
        if isinstance(node, ListConfig):
            yield from _all_keys(_child(node, name), key)
        elif name in node and not OmegaConf.is_interpolation(node, name):
            yield from _all_keys(node.get(name), key)


def _check_value(text: str, key: str, value: Any, current_value: Any, annotated_type: type | None) -> None:
    """Check the type of a new value by the current value, or for plain values by the annotation of the keyword.

    None is always accepted.

    Raises:
        InputError: The value has another type.
    """
    if value is None:
        return
    if isinstance(current_value, ListConfig):
        expected = "a list like [a,b]"
        fits = isinstance(value, list)
    elif isinstance(current_value, DictConfig):
        expected = "a group: set the keys below it, or null to remove it"
        fits = isinstance(value, dict)
    else:
        expected_type = annotated_type or type(current_value)
        if expected_type not in TYPE_NAMES:
            return
        expected = TYPE_NAMES[expected_type]
        # A keyword annotated as a string may also take a list of them.
        fits = is_of_type(value, expected_type) or (expected_type is str and isinstance(value, list))
    if not fits:
        hint = " (the empty value is written null)" if value == "None" else ""
        raise InputError(f"{text}: {key} takes {expected}, not {value!r}{hint}")
