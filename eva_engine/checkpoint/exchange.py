"""Weight files for others: the weights alone, in our names or in those of another library."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.output_files import check_output_file, output_file

from .files import read_weights


def write_weights(weights: Mapping[str, Tensor], output: Path) -> None:
    """Write `weights` as such where the name of `output` ends in .safetensors, else {"model": weights}; all or nothing.

    Of tensors that share memory each is stored as a whole in safetensors.

    Raises:
        InputError: it cannot be written there.
    """
    with output_file(output, sum(value.nbytes for value in weights.values())) as partial:
        if output.suffix == ".safetensors":
            save_file(_unshared(weights), partial)
        else:
            torch.save({"model": dict(weights)}, partial)


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
    weights = rename(read_weights(source, entry))
    write_weights(weights, output)
    return weights


def _unshared(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The format has no way to store one tensor under two names, nor other strides."""
    seen: set[int] = set()
    result = {}
    for name, value in weights.items():
        address = value.untyped_storage().data_ptr()
        result[name] = value.clone(memory_format=torch.contiguous_format) if address in seen else value.contiguous()
        seen.add(address)
    return result
