"""Summary of a weight file: its entries, and the shapes and types of its weights, without their values."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.checkpoint.file_kind import FileKind, detect_kind
from eva_engine.checkpoint.files import read_file, select_weights
from eva_engine.checkpoint.lora_weights import merge_lora_weights
from eva_engine.published_weights.weight_path import weight_path
from eva_engine.safe_text import printable


@dataclass(frozen=True)
class WeightFileSummary:
    """A weight file without its values.

    Attributes:
        path: The file or folder.
        kind: Format, detected from the first bytes.
        num_bytes: Size of the file, or of all files of the folder.
        entries: Descriptions of the top-level entries; "" stands for weights at the top level itself.
        weights: The weights that a run would use, mapped and not read; on the meta device if low-rank layers are
            merged.
        lora_rank: Rank of the low-rank layers; None if there are none.
    """

    path: Path
    kind: FileKind
    num_bytes: int
    entries: Mapping[str, str]
    weights: Mapping[str, Tensor]
    lora_rank: int | None


def read_summary(path: Path, entry: str = "") -> WeightFileSummary:
    """Summarise a file, or the folder of a sharded checkpoint; no tensor is read.

    Args:
        path: The file or folder, or what `eva_engine.published_weights.weight_path` accepts instead.
        entry: Entry of a checkpoint to summarise, such as "ema"; empty for the weights that a run would use.

    Raises:
        InputError: Not a weight file, a damaged one, one that would have to run code, or an entry that does not exist.
    """
    path = weight_path(path)
    kind = detect_kind(path)
    if kind is FileKind.SHARDED:
        from eva_engine.checkpoint.sharded_checkpoint import read_shapes  # slow to import

        content, files = read_shapes(path), list(path.iterdir())
    else:
        content, files = read_file(path), [path]
    if entry and (not isinstance(content, Mapping) or not content.get(entry)):
        found = type(content).__name__
        if isinstance(content, Mapping):
            found = ", ".join(printable(key, 30) for key in list(content)[:8])
        raise InputError(f"{path} has no entry {entry!r} (found {found}); leave --entry out, or name an existing one.")
    weights = select_weights(content[entry] if entry else content, path)
    settings = content.get("lora") if isinstance(content, Mapping) else None
    rank = settings.get("rank") if isinstance(settings, Mapping) else None
    if isinstance(settings, Mapping) and rank:  # on the meta device, merging only changes names
        weights = merge_lora_weights({name: value.to("meta") for name, value in weights.items()}, settings)
    return WeightFileSummary(
        path, kind, sum(file.stat().st_size for file in files), dict(_describe_entries(content)), weights, rank
    )


def _describe_entries(content: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(content, Mapping):
        return
    bare = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    if bare:
        yield "", describe_tensors(bare)
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield printable(key, 60), describe_tensors(value)
        elif isinstance(value, bool | int | float | str):
            yield printable(key, 60), printable(value, 60)
        elif not isinstance(value, Tensor):
            yield printable(key, 60), type(value).__name__


def describe_tensors(content: Mapping) -> str:
    """Describe the number of tensors, the number of their elements, and their types."""
    tensors = list(_tensors_inside(content))
    if not tensors:
        return f"{len(content)} values, no tensors"
    types = Counter(str(value.dtype).removeprefix("torch.") for value in tensors)
    numbers = sum(value.numel() for value in tensors)
    return f"{len(tensors):,} tensors, {numbers:,} numbers, {', '.join(name for name, _ in types.most_common())}"


def _tensors_inside(content: Mapping) -> Iterator[Tensor]:
    """Yield the tensors in nested mappings; each mapping is visited once, because files may contain cycles."""
    waiting, seen = [content], {id(content)}
    while waiting:
        for value in waiting.pop().values():
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, Mapping) and id(value) not in seen:
                seen.add(id(value))
                waiting.append(value)
