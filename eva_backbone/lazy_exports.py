"""Lazy package exports: a module is imported when one of its names is first used.

PyTorch takes seconds to import; thanks to this, commands print help and error messages without it.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from .deprecation import Deprecated, warn_of


def lazy_exports(
    package: str, modules: Mapping[str, str], deprecated: Mapping[str, Deprecated] | None = None
) -> Callable[[str], Any]:
    """Return the `__getattr__` function of a package.

    Args:
        package: `__name__` of the package.
        modules: Name of the defining module, relative to the package, for every exported name.
        deprecated: Former names, which still work and warn.
    """
    former = deprecated or {}

    def get_attribute(name: str) -> Any:
        if name in former:
            warn_of(package, name, former)
            return getattr(import_module(f".{former[name].module}", package), name)
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f".{modules[name]}", package), name)

    return get_attribute
