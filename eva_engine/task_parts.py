"""The part that a task's own package has in a job of all tasks, found by the classes of its model."""

import inspect
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def find_task_part(origins: Iterable[Any], module: str, name: str, base: type) -> type[Any] | None:
    """``PACKAGE.module.name`` of the first package that has one; None if none has.

    Args:
        origins: classes or functions, whose packages are asked in this order. This package answers for Detectron2,
            whose own models are detectors.
        module: inside of a package, with dots.
        name: of a class in it.
        base: what the class has to be derived from; another of the same name is passed over.
    """
    for origin in origins:
        package = origin.__module__.partition(".")[0]
        package = "detectron2_ext" if package == "detectron2" else package
        if _exists(f"{package}.{module}"):
            part = getattr(import_module(f"{package}.{module}"), name, None)
            if inspect.isclass(part) and issubclass(part, base):
                return part
    return None


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError as error:
        # "Not a package" names the module itself, a missing one in front of it that; anything else is missing inside.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        return False
