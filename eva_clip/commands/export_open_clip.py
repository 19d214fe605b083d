"""Exchange EVA-CLIP's weights with open_clip, whose name for the model is EVA01-g-14.

    python -m tools export-open-clip eva_clip_psz14.pt eva_clip_open_clip.safetensors
    python -m tools export-open-clip open_clip_model.safetensors eva_clip.safetensors
    python -m tools export-open-clip output/model_final.pth mine.safetensors --entry ema

The names in INPUT decide on the direction. OUTPUT is in safetensors and holds the weights alone; values do not change.
The call that makes open_clip's model for it is printed.
"""

from collections.abc import Sequence
from pathlib import Path

from eva_clip.open_clip_weights import from_open_clip, is_open_clip, open_clip_call, to_open_clip
from eva_engine.checkpoint.exchange import exchange_weights
from eva_engine.commands.cli import run_exchange


def export(source: Path, output: Path, entry: str = "") -> None:
    """Write the weights of `source` to `output`, whole or not at all; `entry`: which of several the file holds."""
    weights = exchange_weights(
        source, output, entry, lambda w: from_open_clip(w) if is_open_clip(w) else to_open_clip(w)
    )
    ours = not is_open_clip(weights)
    print(f"{output}: {len(weights)} tensors of {source}, with {'the published' if ours else 'open_clip'} names")
    call = None if ours else open_clip_call(weights, output)
    if call is not None:
        print(f"model: {call}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit status 2 for unusable weights."""
    return run_exchange(__doc__, export, argv)
