"""Make a weight file for timm's `eva_giant_*` out of a published classifier, or one that was trained here.

    python -m tools export-timm eva_21k_1k_336px_psz14_ema_89p6.pt eva_giant_336.safetensors
    python -m tools export-timm output/model_final.pth mine.safetensors --entry ema

OUTPUT is in safetensors and holds the weights alone; the names do not change, so it can be loaded here again. The call
that makes timm's model for it is printed. Normalise its images with CLIP's mean and deviation.
"""

from collections.abc import Sequence
from pathlib import Path

from eva_classification.timm_weights import timm_call, to_timm
from eva_engine.checkpoint.exchange import exchange_weights
from eva_engine.commands.cli import run_exchange


def export(source: Path, output: Path, entry: str = "") -> None:
    """Write the weights of `source` to `output`, whole or not at all; `entry`: which of several the file holds."""
    weights = exchange_weights(source, output, entry, to_timm)
    print(f"{output}: {len(weights)} tensors of {source}")
    call = timm_call(weights)
    if call is not None:
        print(f"model: {call[:-1]}, checkpoint_path='{output}')")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exit status 2 for unusable weights."""
    return run_exchange(__doc__, export, argv)
