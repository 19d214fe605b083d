"""What became of every entry of a weight file and of every entry of the model."""

import logging
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .names import shorten_names

_WIDTH = 140


@dataclass(frozen=True)
class ShapeChange:
    """An entry whose shape in the file is not the model's."""

    name: str
    file_shape: tuple[int, ...]
    model_shape: tuple[int, ...]


@dataclass(frozen=True)
class LoadReport:
    """The outcome of loading one file; `used`, `resized`, `skipped` and `missing` share out the model's entries.

    used: names given their values as stored; resized: given resized values; skipped: in the file with a shape that
    does not fit, left at their initial values; missing: not in the file, left at their initial values; unused: names
    (those of the file) that the model does not have.
    """

    path: Path
    used: Sequence[str]
    resized: Sequence[ShapeChange] = ()
    skipped: Sequence[ShapeChange] = ()
    missing: Sequence[str] = ()
    unused: Sequence[str] = ()
    notes: Sequence[str] = ()

    def summary(self) -> str:
        """The counts in one line."""
        return (
            f"{self.path}: {len(self.used)} entries used, {len(self.resized)} resized, {len(self.skipped)} skipped, "
            f"{len(self.missing)} missing, {len(self.unused)} unused"
        )

    def details(self) -> list[str]:
        """Every name, siblings written together with braces, as wrapped lines."""
        parts = [
            ("used", shorten_names(self.used)),
            ("resized", [_describe(change) for change in self.resized]),
            ("skipped, another shape, left at their initial values", [_describe(change) for change in self.skipped]),
            ("missing in the file, left at their initial values", shorten_names(self.missing)),
            ("unused, not in the model", shorten_names(self.unused)),
        ]
        lines = [*self.notes]
        for title, names in parts:
            if names:
                lines.append(f"{title}:")
                lines += textwrap.wrap(
                    "  ".join(names), _WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False,
                    break_on_hyphens=False,
                )  # fmt: skip
        return lines

    def log(self, logger: logging.Logger) -> None:
        """Write counts and every name at level INFO."""
        logger.info("Weights from %s", "\n".join([self.summary(), *("  " + line for line in self.details())]))


def _describe(change: ShapeChange) -> str:
    return f"{change.name} {_shape(change.file_shape)}->{_shape(change.model_shape)}"


def _shape(shape: Sequence[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"
