"""Convert the pre-trained patch-14 ViT to the patch-16 ViT for detection: eva_psz14.pt to eva_psz14to16.pt.

    python -m tools interpolate-patch eva_psz14.pt eva_psz14to16.pt

The patch kernel is resized from 14x14 to 16x16 pixels (bicubic, stored in float32), and the position embeddings to the
14x14 grid of patches that an image of 224 pixels then has (bicubic, except for the class token, in their own dtype).
Everything else in the file is unchanged.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.output_files import check_output_file, output_file
from eva_engine.published_weights.weight_path import check_weights, weight_path
from eva_engine.safe_text import printable

from .cli import command_parser, run_command

KERNEL, POSITIONS = "patch_embed.proj.weight", "pos_embed"
OLD_PATCH, NEW_PATCH, PRETRAIN_SIZE = 14, 16, 224


def convert_entries(entries: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Convert the weights of a patch-14 ViT to patch 16; `path` appears in error messages."""
    # Imported here, as below, so that --help does not load PyTorch.
    from torch import Tensor

    from eva_backbone.patch_embed import resize_patch_kernel
    from eva_backbone.position import resize_pos_embed, square_grid

    for name, num_axes in ((KERNEL, 4), (POSITIONS, 3)):
        value = entries.get(name)
        if not isinstance(value, Tensor) or value.ndim != num_axes:
            raise InputError(
                f"{path} has no {num_axes}-axis tensor {name!r}; expected a bare ViT such as eva_psz14.pt."
            )
    if tuple(entries[KERNEL].shape[2:]) != (OLD_PATCH, OLD_PATCH):
        raise InputError(
            f"{path}: {KERNEL} has patches of {tuple(entries[KERNEL].shape[2:])}, expected {(OLD_PATCH, OLD_PATCH)}; "
            "only patch-14 weights are converted."
        )
    side = PRETRAIN_SIZE // NEW_PATCH
    try:
        square_grid(entries[POSITIONS].shape[1] - 1)
    except ValueError as error:
        raise InputError(f"{path}: {POSITIONS} is not a class token and a square grid ({error}).") from error
    return {
        **entries,
        KERNEL: resize_patch_kernel(entries[KERNEL], (NEW_PATCH, NEW_PATCH)),
        # In the dtype of the file, as in the published conversion: float16 rounds differently from float32.
        POSITIONS: resize_pos_embed(entries[POSITIONS], (side, side), compute_dtype=entries[POSITIONS].dtype),
    }


def convert_content(content: Any, path: Path) -> Any:
    """Convert the ViT in the content of a file, at the top level or under a wrapper key such as "model"."""
    from eva_engine.checkpoint import WRAPPERS

    if isinstance(content, Mapping) and KERNEL not in content:
        for key in WRAPPERS:
            if isinstance(content.get(key), Mapping):
                return {**content, key: convert_entries(content[key], path)}
    return convert_entries(content if isinstance(content, Mapping) else {}, path)


def convert_file(source: Path, output: Path) -> None:
    """Convert the file `source` and write `output`, which appears only when it is complete."""
    check_output_file(output, source)
    if output.suffix == ".safetensors":
        raise InputError(f"{output}: the output is a file of torch.save, not safetensors; name it .pt or .pth")
    check_weights(source)
    import torch

    from eva_engine.checkpoint import read_file, select_weights

    source = weight_path(source)
    check_output_file(output, source)
    content = read_file(source)
    select_weights(content, source)  # raises an error if the file contains no weights
    content = convert_content(content, source)
    with output_file(output, source.stat().st_size) as partial:
        torch.save(content, partial)
    print(printable(f"{output}: patch {NEW_PATCH}, converted from {source}"))


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is 2 for an unusable file."""
    parser = command_parser(__doc__)
    parser.add_argument("input", type=Path, help="patch-14 weights, for example eva_psz14.pt")
    parser.add_argument("output", type=Path, help="file to write, .pt or .pth")
    arguments = parser.parse_args(argv)
    return run_command(convert_file, arguments.input, arguments.output)
