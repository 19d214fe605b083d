"""Write weights alone, under the names of this project or of another library."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.output_files import check_output_file, output_file

from .files import read_weights


def write_weights(weights: Mapping[str, Tensor], output: Path) -> None:
    """Write weights atomically.

    Args:
        weights: Tensors by name. Tensors that share memory are stored separately in safetensors.
        output: File to write: a safetensors file if the name ends in .safetensors, else a torch file with the content
            {"model": weights}.

    Raises:
        InputError: The file cannot be written.
    """
    with output_file(output, sum(value.nbytes for value in weights.values())) as partial:
        if output.suffix == ".safetensors":
            save_file(_unshared(weights), partial)
        else:
            torch.save({"model": dict(weights)}, partial)


def exchange_weights(
    source: Path, output: Path, entry: str, rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Read weights, rename them and write them atomically to a safetensors file.

    Args:
        source: Weight file, or checkpoint of a run.
        output: File to write; its name must end in .safetensors.
        entry: Top-level entry of a checkpoint to read the weights from, such as "ema"; empty for the default.
        rename: Function from the weights of `source` to those of `output`.

    Returns:
        The renamed weights.

    Raises:
        InputError: The weights cannot be used, the entry does not exist, or the output cannot be written.
    """
    if output.suffix != ".safetensors":
        raise InputError(f"{output} does not end in .safetensors, the format that is written; rename the output.")
    check_output_file(output, source)
    weights = rename(read_weights(source, entry))
    write_weights(weights, output)
    return weights


def _unshared(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors without shared memory, as safetensors requires."""
    seen: set[int] = set()
    result = {}
    for name, value in weights.items():
        address = value.untyped_storage().data_ptr()
        if address in seen:
            result[name] = value.clone(memory_format=torch.contiguous_format)
        else:
            result[name] = value.contiguous()
        seen.add(address)
    return result
