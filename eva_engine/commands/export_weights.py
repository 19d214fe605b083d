"""Export the weights of a training run's checkpoint to one weight file in the layout of the published ones.

    python -m tools export output/model_final.pth eva_mine.pth
    python -m tools export output/model_0004999 eva_mine.safetensors --entry ema --half

INPUT is a checkpoint file, or the folder of a sharded checkpoint. OUTPUT contains {"model": weights}, or only the
weights if its name ends in .safetensors. Low-rank adapters are merged into the weights that they adapt.
"""

from functools import partial
from pathlib import Path

from eva_engine.output_files import check_output_file
from eva_engine.published_weights.weight_path import check_weights
from eva_engine.safe_text import printable

from .cli import command_parser, run_command


def export(source: Path, output: Path, entry: str = "model", *, half: bool = False) -> None:
    """Write the weights under `entry` of the checkpoint `source` to `output`.

    The file appears only when it is complete.

    Args:
        source: Checkpoint file or folder.
        output: File to write, .pth or .safetensors.
        entry: Entry of the checkpoint, "model" or "ema".
        half: Convert floating-point numbers to float16.

    Raises:
        InputError: The checkpoint is unusable, or `output` cannot be written.
    """
    check_output_file(output, source)
    check_weights(source)
    # Imported late, so that --help and the mistakes that were checked are answered at once.
    from eva_engine.checkpoint import read_weights
    from eva_engine.checkpoint.exchange import write_weights

    weights = read_weights(source, entry)
    if half:
        for name, value in weights.items():
            if value.is_floating_point():
                weights[name] = value.half()
    write_weights(weights, output)
    num_bytes = sum(value.nbytes for value in weights.values())
    print(printable(f"{output}: {len(weights)} tensors, {num_bytes:,} bytes, from the entry {entry!r} of {source}"))


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is 2 for an unusable checkpoint."""
    parser = command_parser(__doc__)
    parser.add_argument("input", type=Path, help="checkpoint of a run, a file or a folder")
    parser.add_argument("output", type=Path, help="file to write, .pth or .safetensors")
    parser.add_argument("--entry", default="model", help="model, or ema for the moving average; default: %(default)s")
    parser.add_argument("--half", action="store_true", help="store float16")
    arguments = parser.parse_args(argv)
    return run_command(partial(export, half=arguments.half), arguments.input, arguments.output, arguments.entry)
