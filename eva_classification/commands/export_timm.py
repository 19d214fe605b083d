"""Convert a classifier, published or trained here, to a weight file for timm's `eva_giant_*`, `eva_large_*`, `eva02_*`.

    python -m tools export-timm eva_21k_1k_336px_psz14_ema_89p6.pt eva_giant_336.safetensors
    python -m tools export-timm output/model_final.pth mine.safetensors --entry ema

OUTPUT is a safetensors file with the weights only, which can also be loaded here again; timm has other names for some
parameters of EVA-02. The command prints the call that creates timm's model. Normalise its images with CLIP's mean and
standard deviation.
"""

from collections.abc import Sequence
from pathlib import Path

from eva_engine.commands.cli import run_exchange
from eva_engine.safe_text import printable


def export(source: Path, output: Path, entry: str = "") -> None:
    """Convert the weights in `source` and write them to `output` atomically.

    Args:
        source: Weight file, or checkpoint of a run.
        output: File to write, .safetensors.
        entry: Entry to read if the file holds several sets of weights, such as "ema".
    """
    # Imported here so that --help does not load PyTorch.
    from eva_classification.timm_weights import timm_call, to_timm
    from eva_engine.checkpoint.exchange import exchange_weights

    weights = exchange_weights(source, output, entry, to_timm)
    print(printable(f"{output}: {len(weights)} tensors of {source}"))
    call = timm_call(weights)
    if call is not None:
        print(printable(f"model: {call.removesuffix(')')}, checkpoint_path={str(output)!r})"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 2 for unusable weights."""
    return run_exchange(__doc__, export, argv)
