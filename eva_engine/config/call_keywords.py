"""Which keywords a callable really takes, and what kind of value each wants."""

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

from detectron2.data import build_detection_train_loader
from detectron2.data.build import build_batch_data_loader
from detectron2.utils.registry import locate
from torch.utils.data import DataLoader

_SIMPLE_KINDS = (bool, int, float, str)
# Functions that hand their **kwargs on to others.
_FORWARDS = {build_detection_train_loader: (build_batch_data_loader, DataLoader)}


def call_keywords(target: Callable | str) -> dict[str, type | None] | None:
    """Keywords of a LazyConfig `_target_`, each with its kind (bool, int, float, str; None: anything).

    Follows **kwargs of a class to its base classes. Returns None when **kwargs swallow keywords that cannot be listed.
    """
    target = locate(target) if isinstance(target, str) else target
    if inspect.isclass(target):
        callables = [vars(cls)["__init__"] for cls in target.__mro__ if "__init__" in vars(cls)]
    else:
        callables = [target, *_FORWARDS.get(target, ())]
    found: dict[str, type | None] = {}
    for function in callables:
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError):  # built in, without a signature
            return None
        hints = _type_hints(function)
        for name, parameter in parameters.items():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name != "self":
                kind = _simple_kind(hints.get(name)) or (bool if isinstance(parameter.default, bool) else None)
                found.setdefault(name, kind)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return found
    return None


def _type_hints(function: Callable) -> dict[str, Any]:
    try:
        return typing.get_type_hints(inspect.unwrap(function))
    except (NameError, TypeError):  # annotations that name things only type checkers see
        return {}


def _simple_kind(annotation: Any) -> type | None:
    """bool, int, float or str where the annotation allows just that (and perhaps None)."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        options = [a for a in typing.get_args(annotation) if a is not type(None)]
        annotation = options[0] if len(options) == 1 else None
    return annotation if annotation in _SIMPLE_KINDS else None
