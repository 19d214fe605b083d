"""Exchange EVA-CLIP's weights with open_clip, whose name for the model is EVA01-g-14.

    python tools/export_open_clip.py eva_clip_psz14.pt eva_clip_open_clip.safetensors
    python tools/export_open_clip.py open_clip_model.safetensors eva_clip.safetensors
    python tools/export_open_clip.py output/model_final.pth mine.safetensors --entry ema

The names in INPUT decide on the direction. OUTPUT is in safetensors and holds the weights alone; values do not change.
The call that makes open_clip's model for it is printed.
"""

import sys
from pathlib import Path

from safetensors.torch import save_file

from detectron2_ext.atomic import atomic_path
from detectron2_ext.checkpoint import WRAPPERS, read_file, select_weights
from detectron2_ext.commands import check_output_file, command_parser, run_command
from eva_backbone.errors import InputError
from eva_clip.open_clip_weights import from_open_clip, is_open_clip, open_clip_call, to_open_clip


def export(source: Path, output: Path, entry: str = "") -> None:
    """Write the weights of `source` to `output`, whole or not at all; `entry`: which of several the file holds."""
    if output.suffix != ".safetensors":
        raise InputError(f"{output} does not end in .safetensors, the format that is written; rename the output.")
    check_output_file(output, source)
    content = read_file(source, (entry,) if entry else WRAPPERS)
    if entry and (not isinstance(content, dict) or not content.get(entry)):
        raise InputError(f"{source} has no entry {entry!r}; leave --entry out, or name one that the file has.")
    weights = select_weights(content[entry] if entry else content, source)
    theirs = is_open_clip(weights)
    weights = from_open_clip(weights) if theirs else to_open_clip(weights)
    with atomic_path(output) as partial:
        save_file({name: value.contiguous() for name, value in weights.items()}, partial)
    print(f"{output}: {len(weights)} tensors of {source}, with {'the published' if theirs else 'open_clip'} names")
    call = None if theirs else open_clip_call(weights, output)
    if call is not None:
        print(f"model: {call}")


def main(argv: list[str] | None = None) -> int:
    """Run the command; exit status 2 for unusable weights."""
    parser = command_parser(__doc__)
    parser.add_argument("input", type=Path, help="weight file, or checkpoint of a run")
    parser.add_argument("output", type=Path, help="file to write, .safetensors")
    parser.add_argument("--entry", default="", help="the weights to take where a checkpoint holds several, such as ema")
    arguments = parser.parse_args(argv)
    return run_command(lambda: export(arguments.input, arguments.output, arguments.entry))


if __name__ == "__main__":
    sys.exit(main())
