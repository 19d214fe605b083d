"""Weight files under the names of another library."""

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from detectron2_ext.atomic import atomic_path
from detectron2_ext.commands import check_output_file
from eva_backbone.errors import InputError

from .files import WRAPPERS, read_file, select_weights


def exchange_weights(
    source: Path, output: Path, entry: str, rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Write the renamed weights of `source` to `output`, in safetensors, whole or not at all; returns them.

    Args:
        source: weight file, or checkpoint of a run.
        entry: which of several weights a checkpoint holds, such as "ema"; empty: the usual one.
        rename: from the names of `source` to those of `output`.

    Raises:
        InputError: unusable weights, an entry that is not there, or an output that cannot be written.
    """
    if output.suffix != ".safetensors":
        raise InputError(f"{output} does not end in .safetensors, the format that is written; rename the output.")
    check_output_file(output, source)
    content = read_file(source, (entry,) if entry else WRAPPERS)
    if entry and (not isinstance(content, dict) or not content.get(entry)):
        raise InputError(f"{source} has no entry {entry!r}; leave --entry out, or name one that the file has.")
    weights = rename(select_weights(content[entry] if entry else content, source))
    with atomic_path(output) as partial:
        save_file({name: value.contiguous() for name, value in weights.items()}, partial)
    return weights
