"""Create the initial weights of EVA-CLIP's training from an EVA image tower and the text tower of a CLIP model.

    python -m tools join-clip-towers eva_psz14.pt ViT-L-14.pt eva_clip_start.pt

The projections of both towers and the logit scale are left out; training starts them at random. Pass OUTPUT as
train.init_checkpoint to the recipe of a model with these towers, such as projects/CLIP/configs/eva_clip_g14.py.
"""

from collections.abc import Sequence
from pathlib import Path

from eva_engine.commands.cli import command_parser, run_command
from eva_engine.output_files import check_output_file, output_file
from eva_engine.published_weights.weight_path import check_weights
from eva_engine.safe_text import printable


def join_files(image: Path, text: Path, output: Path) -> None:
    """Combine two weight files; the output file is written completely or not at all."""
    for source in (image, text):
        check_output_file(output, source)
        check_weights(source)
    # Imported here so that --help, and the mistakes that were checked, do not load PyTorch.
    import torch

    from eva_clip.initialization import join_tower_weights
    from eva_engine.checkpoint import read_weights

    weights = join_tower_weights(read_weights(image), read_weights(text))
    with output_file(output, sum(value.nbytes for value in weights.values())) as partial:
        # Cloned, because torch.save stores the complete storage of an entry that is a view of a larger tensor.
        torch.save({"model": {name: value.clone() for name, value in weights.items()}}, partial)
    print(printable(f"{output}: {len(weights)} tensors of {image} and {text}"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status, 2 for unusable weights."""
    parser = command_parser(__doc__)
    parser.add_argument("image", type=Path, help="weight file of an EVA ViT, such as eva_psz14.pt")
    parser.add_argument("text", type=Path, help="weight file of a CLIP model, such as OpenAI's ViT-L-14.pt")
    parser.add_argument("output", type=Path, help="file to write")
    args = parser.parse_args(argv)
    return run_command(lambda: join_files(args.image, args.text, args.output))
