"""Report which entries of a weight file and of a model were loaded, resized, skipped or missing."""

import logging
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

_WIDTH = 140


@dataclass(frozen=True)
class ShapeChange:
    """An entry that has different shapes in the file and in the model."""

    name: str
    file_shape: tuple[int, ...]
    model_shape: tuple[int, ...]


@dataclass(frozen=True)
class LoadReport:
    """Result of loading one file. Every entry of the model is in one of `used`, `resized`, `skipped` and `missing`.

    Attributes:
        path: The file.
        used: Names of entries that were loaded as stored.
        resized: Entries that were loaded after resizing.
        skipped: Entries that keep their initial values, because their shape in the file does not fit.
        missing: Names of entries that keep their initial values, because the file does not have them.
        unused: Names of entries of the file that the model does not have.
        notes: Sentences about other conversions.
    """

    path: Path
    used: Sequence[str]
    resized: Sequence[ShapeChange] = ()
    skipped: Sequence[ShapeChange] = ()
    missing: Sequence[str] = ()
    unused: Sequence[str] = ()
    notes: Sequence[str] = ()

    def summary(self) -> str:
        """Return the counts in one line."""
        return (
            f"{self.path}: {len(self.used)} entries used, {len(self.resized)} resized, {len(self.skipped)} skipped, "
            f"{len(self.missing)} missing, {len(self.unused)} unused"
        )

    def details(self) -> list[str]:
        """Return wrapped lines with all names, shortened by `shorten_names`."""
        parts = [
            ("used", shorten_names(self.used)),
            ("resized", [_describe(change) for change in self.resized]),
            ("skipped, shapes differ, initial values kept", [_describe(change) for change in self.skipped]),
            ("missing in the file, initial values kept", shorten_names(self.missing)),
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
        """Log the counts and all names at level INFO."""
        logger.info("Weights from %s", "\n".join([self.summary(), *("  " + line for line in self.details())]))


def _describe(change: ShapeChange) -> str:
    return f"{change.name} {_shape(change.file_shape)}->{_shape(change.model_shape)}"


def _shape(shape: Sequence[int]) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


_BLOCK = re.compile(r"(.*\bblocks\.)(\d+)\.attn\.(?:qkv|q_proj)\.weight$")


def describe_weights(weights: Mapping[str, Tensor]) -> str:
    """Describe weights by width, depth and patch size if they have a ViT, else by their number and first names."""
    blocks = [match for name, value in weights.items() if value.ndim and (match := _BLOCK.match(name))]
    if not blocks:
        names = list(weights)
        return f"{len(names)} entries such as {', '.join(names[:2])}"
    width = weights[blocks[0].group(0)].shape[-1]
    depth = 1 + max(int(match.group(2)) for match in blocks)
    stem = blocks[0].group(1).removesuffix("blocks.")
    kernel = weights.get(f"{stem}patch_embed.proj.weight")
    patch = f", patch {kernel.shape[-1]}" if kernel is not None and kernel.ndim else ""
    return f"a ViT of width {width}, depth {depth}{patch}"


def shorten_names(names: Iterable[str]) -> list[str]:
    """Combine similar names with braces: ``blocks.{0-39}.{norm1,norm2}.weight`` stands for 80 names.

    This is lossless: expanding all combinations of the comma-separated lists and ranges in braces restores the names.
    """
    tree: dict = {}
    for name in names:
        node = tree
        for part in name.split("."):
            node = node.setdefault(part, {})
        node[""] = {}  # marks the end of a name
    return [".".join(parts) for parts in _lines(tree)]


def _lines(tree: dict) -> list[list[str]]:
    """Return the parts of each combined name; siblings with the same subtree are merged."""
    groups: dict[tuple, list[str]] = {}
    ends = "" in tree
    for part, below in tree.items():
        if part:
            groups.setdefault(tuple(tuple(line) for line in _lines(below)), []).append(part)
    lines: list[list[str]] = [[]] if ends else []
    for below, parts in groups.items():
        combined = _braces(parts)
        lines += [[combined, *line] for line in below]
    return lines


def _braces(parts: list[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    words = [part for part in parts if not part.isdecimal()]
    return "{" + ",".join(_ranges(sorted(int(part) for part in parts if part.isdecimal())) + words) + "}"


def _ranges(numbers: list[int]) -> list[str]:
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
