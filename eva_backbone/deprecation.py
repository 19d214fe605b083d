"""Names that were replaced: the old one works for one minor version more, with a warning that names the new one."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Deprecated:
    """A name of a package that still works.

    Attributes:
        module: Module that defines the name, relative to the package.
        replacement: What to write instead, for the warning.
        removed_in: Version without the name, such as "0.4", if 0.3 is the first that warns.
    """

    module: str
    replacement: str
    removed_in: str


def warn_of(package: str, name: str, names: Mapping[str, Deprecated]) -> None:
    """Warn that a program uses `name` of a package, at the line that imports it.

    Python shows the warning once for each such line, although `from package import name` asks twice for the name.
    """
    deprecated = names[name]
    warnings.warn(
        f"{package}.{name} is deprecated and will be removed in version {deprecated.removed_in}; "
        f"use {deprecated.replacement}",
        FutureWarning,
        stacklevel=3,
    )
