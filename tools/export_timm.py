"""Make a weight file for timm's `eva_giant_*` out of a published classifier, or one that was trained here.

    python tools/export_timm.py eva_21k_1k_336px_psz14_ema.pt eva_giant_336.safetensors
    python tools/export_timm.py output/model_final.pth mine.safetensors --entry ema

OUTPUT is in safetensors and holds the weights alone; the names do not change, so it can be loaded here again. The call
that makes timm's model for it is printed. Normalise its images with CLIP's mean and deviation.
"""

import sys
from pathlib import Path

from safetensors.torch import save_file

from detectron2_ext.atomic import atomic_path
from detectron2_ext.checkpoint import WRAPPERS, read_file, select_weights
from detectron2_ext.commands import check_output_file, command_parser, run_command
from eva_backbone.errors import InputError
from eva_classification.timm_weights import timm_call, to_timm


def export(source: Path, output: Path, entry: str = "") -> None:
    """Write the weights of `source` to `output`, whole or not at all; `entry`: which of several the file holds."""
    if output.suffix != ".safetensors":
        raise InputError(f"{output} does not end in .safetensors, the format that is written; rename the output.")
    check_output_file(output, source)
    content = read_file(source, (entry,) if entry else WRAPPERS)
    if entry and (not isinstance(content, dict) or not content.get(entry)):
        raise InputError(f"{source} has no entry {entry!r}; leave --entry out, or name one that the file has.")
    weights = to_timm(select_weights(content[entry] if entry else content, source))
    with atomic_path(output) as partial:
        save_file({name: value.contiguous() for name, value in weights.items()}, partial)
    print(f"{output}: {len(weights)} tensors of {source}")
    call = timm_call(weights)
    if call is not None:
        print(f"model: {call[:-1]}, checkpoint_path='{output}')")


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
