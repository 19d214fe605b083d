"""Convert EVA-CLIP weights to open_clip's names and back; open_clip calls the models EVA01-g-14, EVA02-L-14 and so on.

    python -m tools export-open-clip eva_clip_psz14.pt eva_clip_open_clip.safetensors
    python -m tools export-open-clip open_clip_model.safetensors eva_clip.safetensors
    python -m tools export-open-clip output/model_final.pth mine.safetensors --entry ema

The names in INPUT determine the direction. OUTPUT is a safetensors file with the weights only; values do not change.
After an export to open_clip's names, the command prints the call that loads the file into open_clip's model.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eva_engine.commands.cli import run_exchange
from eva_engine.safe_text import printable

if TYPE_CHECKING:
    from torch import Tensor


def export(source: Path, output: Path, entry: str = "") -> None:
    """Convert the weights of a file; the output file is written completely or not at all.

    Args:
        source: File to read.
        output: File to write.
        entry: Which weights to take from a file with several, such as "ema".
    """
    # Imported here so that --help does not load PyTorch.
    from eva_clip.open_clip_weights import is_open_clip, open_clip_call
    from eva_engine.checkpoint.exchange import exchange_weights

    weights = exchange_weights(source, output, entry, _convert)
    names_of = "open_clip" if is_open_clip(weights) else "the original release"
    print(printable(f"{output}: {len(weights)} tensors of {source}, with the names of {names_of}"))
    call = open_clip_call(weights, output) if is_open_clip(weights) else None
    if call is not None:
        print(printable(f"model: {call}"))


def _convert(weights: "Mapping[str, Tensor]") -> "dict[str, Tensor]":
    from eva_clip.open_clip_weights import from_open_clip, is_open_clip, to_open_clip

    return from_open_clip(weights) if is_open_clip(weights) else to_open_clip(weights)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status, 2 for unusable weights."""
    return run_exchange(__doc__, export, argv)
