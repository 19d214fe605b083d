"""Lazy package exports: a module is imported when one of its names is first used.

PyTorch takes seconds to import; thanks to this, commands print help and error messages without it.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` function of a package.

    Args:
        package: `__name__` of the package.
        modules: Name of the defining module, relative to the package, for every exported name.
    """

    def get_attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f".{modules[name]}", package), name)

    return get_attribute
