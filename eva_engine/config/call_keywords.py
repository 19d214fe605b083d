"""Find the keywords that a callable accepts, and the type of each."""

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from detectron2.data import build_detection_train_loader
from detectron2.data.build import build_batch_data_loader
from detectron2.utils.registry import locate
from torch.utils.data import DataLoader

_SIMPLE_TYPES = (bool, int, float, str)
# Functions that pass their **kwargs to others.
_FORWARDS = {build_detection_train_loader: (build_batch_data_loader, DataLoader)}


def call_keywords(target: Callable | str) -> dict[str, type | None] | None:
    """Return the keywords of a LazyConfig `_target_` with their types: bool, int, float, str, or None for any type.

    The **kwargs of a class are followed to its base classes. The result is None if **kwargs accept keywords that cannot
    be listed.
    """
    if isinstance(target, str):
        target = locate(target)
    if inspect.isclass(target):
        callables = [vars(cls)["__init__"] for cls in target.__mro__ if "__init__" in vars(cls)]
    else:
        callables = [target, *_FORWARDS.get(target, ())]
    found: dict[str, type | None] = {}
    for function in callables:
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError):  # a built-in without a signature
            return None
        hints = _type_hints(function)
        for name, parameter in parameters.items():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name != "self":
                simple_type = _simple_type(hints.get(name))
                if simple_type is None and isinstance(parameter.default, bool):
                    simple_type = bool
                found.setdefault(name, simple_type)  # the signature of a derived class comes first
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return found
    return None


def takes_any_keyword(target: Callable) -> bool:
    """Return whether a class or function has **kwargs of its own, which it may use without passing them on."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # a built-in without a signature
        return True
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def _type_hints(function: Callable) -> dict[str, Any]:
    try:
        return typing.get_type_hints(inspect.unwrap(function))
    except (NameError, TypeError):  # annotations with names that are imported for type checkers only
        return {}


def _simple_type(annotation: Any) -> type | None:
    """Return bool, int, float or str if the annotation allows only that, or that and None."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        options = [a for a in typing.get_args(annotation) if a is not type(None)]
        annotation = options[0] if len(options) == 1 else None
    return annotation if annotation in _SIMPLE_TYPES else None
