"""What became of every entry of a weight file and of every entry of the model."""

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


_BLOCK = re.compile(r"(.*\bblocks\.)(\d+)\.attn\.qkv\.weight$")


def describe_weights(weights: Mapping[str, Tensor]) -> str:
    """Width, depth and patch of the ViT in `weights`, or else their count and first names."""
    blocks = [match for name in weights if (match := _BLOCK.match(name))]
    if not blocks:
        names = list(weights)
        return f"{len(names)} entries such as {', '.join(names[:2])}"
    width = weights[blocks[0].group(0)].shape[-1]
    depth = 1 + max(int(match.group(2)) for match in blocks)
    stem = blocks[0].group(1).removesuffix("blocks.")
    kernel = weights.get(f"{stem}patch_embed.proj.weight")
    patch = f", patch {kernel.shape[-1]}" if kernel is not None else ""
    return f"a ViT of width {width}, depth {depth}{patch}"


def shorten_names(names: Iterable[str]) -> list[str]:
    """`names` with braces around what siblings differ in: ``blocks.{0-39}.{norm1,norm2}.weight`` stands for 80 names.

    Lossless: expanding the braces (comma lists and number ranges, all combinations) gives exactly the names back.
    """
    tree: dict = {}
    for name in names:
        node = tree
        for part in name.split("."):
            node = node.setdefault(part, {})
        node[""] = {}  # a name ends here
    return [".".join(parts) for parts in _lines(tree)]


def _lines(tree: dict) -> list[list[str]]:
    """One list of name parts per line; siblings with the same lines below them are merged."""
    groups: dict[tuple, list[str]] = {}
    ends = "" in tree
    for part, below in tree.items():
        if part:
            groups.setdefault(tuple(tuple(line) for line in _lines(below)), []).append(part)
    lines = [[_braces(parts), *line] for below, parts in groups.items() for line in below]
    return [[], *lines] if ends else lines


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
