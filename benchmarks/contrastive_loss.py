"""The contrastive loss, forward and backward: open_clip's, and ours in tiles of logits.

    python -m benchmarks.contrastive_loss --rounds 3 --pairs 16384

One process, features of width 1024 in float32. Both give the same loss and gradients
(tests/eva_clip/test_contrastive_loss.py). Memory is measured in addition to the features.
"""

import argparse
import os
from collections.abc import Callable

import torch
from open_clip.loss import ClipLoss
from torch import Tensor
from torch.nn.functional import normalize

from eva_clip.contrastive_loss import contrastive_loss

from .harness.side_by_side import compare

WIDTH = 1024
PAIRS = "EVA_BENCHMARK_PAIRS"


def _step(loss: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[[], object]:
    torch.manual_seed(0)
    images, texts = (normalize(torch.randn(int(os.environ[PAIRS]), WIDTH), dim=1).requires_grad_() for _ in range(2))
    scale = torch.tensor(100.0, requires_grad=True)
    return lambda: loss(images, texts, scale).backward()


def open_clip() -> Callable[[], object]:
    """All logits at once."""
    return _step(ClipLoss())


def tiles() -> Callable[[], object]:
    """2048 x 2048 logits at a time."""
    return _step(contrastive_loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, nargs="+", default=[8192, 16384])
    args = parser.parse_args()
    for pairs in args.pairs:
        os.environ[PAIRS] = str(pairs)
        title = f"forward and backward of {pairs:,} pairs"
        compare("benchmarks.contrastive_loss", title, "open_clip", "tiles", args.rounds, against="open_clip")


if __name__ == "__main__":
    main()
