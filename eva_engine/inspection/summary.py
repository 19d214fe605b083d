"""What lies in a weight file: its entries, and the shapes and types of its weights, without their values."""

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

_MAX_NAME = 300  # characters


@dataclass(frozen=True)
class WeightFileSummary:
    """A weight file without its values.

    kind: how it is stored, told by its first bytes.
    num_bytes: size of the file, or of all files of the folder.
    entries: what is at the top of the file, in words; "" stands for weights that lie there themselves.
    weights: the ones a run would take, mapped and not yet read; those of low-rank layers merged, on the meta device.
    lora_rank: of those low-rank layers; None where there are none.
    """

    path: Path
    kind: FileKind
    num_bytes: int
    entries: Mapping[str, str]
    weights: Mapping[str, Tensor]
    lora_rank: int | None


def read_summary(path: Path, entry: str = "") -> WeightFileSummary:
    """The outline of a file, or of the folder of a sharded checkpoint; no tensor of it is read.

    entry: which weights of a checkpoint, such as "ema"; empty: those that a run would take.

    Raises:
        InputError: what is no weight file, is damaged, or would need code to be read; an entry that is not there.
    """
    kind = detect_kind(path)
    if kind is FileKind.SHARDED:
        from eva_engine.checkpoint.sharded_checkpoint import read_shapes  # slow to import

        content, files = read_shapes(path), list(path.iterdir())
    else:
        content, files = read_file(path), [path]
    if entry and (not isinstance(content, Mapping) or not content.get(entry)):
        found = ", ".join(map(str, list(content)[:8])) if isinstance(content, Mapping) else type(content).__name__
        raise InputError(f"{path} has no entry {entry!r} (found {found}); leave --entry out, or name one it has.")
    weights = select_weights(content[entry] if entry else content, path)
    long = next((name for name in weights if len(name) > _MAX_NAME), None)
    if long is not None:
        raise InputError(f"{path} has an entry with a name of {len(long)} characters; no model has such names.")
    settings = content.get("lora") if isinstance(content, Mapping) else None
    rank = settings.get("rank") if isinstance(settings, Mapping) else None
    if settings is not None and rank:  # on the meta device merging only names them
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
            yield str(key), describe_tensors(value)
        elif isinstance(value, bool | int | float | str):
            yield str(key), str(value)[:60]
        elif not isinstance(value, Tensor):
            yield str(key), type(value).__name__


def describe_tensors(content: Mapping) -> str:
    """How many tensors are inside, how many numbers they hold, and of which types."""
    tensors = list(_tensors_inside(content))
    if not tensors:
        return f"{len(content)} values, no tensors"
    types = Counter(str(value.dtype).removeprefix("torch.") for value in tensors)
    numbers = sum(value.numel() for value in tensors)
    return f"{len(tensors):,} tensors, {numbers:,} numbers, {', '.join(name for name, _ in types.most_common())}"


def _tensors_inside(content: Mapping) -> Iterator[Tensor]:
    """Every container is entered once: a file may hold the same one many times, or inside itself."""
    waiting, seen = [content], {id(content)}
    while waiting:
        for value in waiting.pop().values():
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, Mapping) and id(value) not in seen:
                seen.add(id(value))
                waiting.append(value)
