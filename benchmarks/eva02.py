"""EVA-02-L against timm's own and against the release's plain formula, float32 on CPU.

Two blocks of the full width with the head of a classifier, one image with as many tokens as a detector of 1024 or 1536
pixels has: 64 x 64 or 96 x 96 patches of 14 pixels. timm's model uses fused attention, as ours does. The plain formula
computes the logits and their softmax as matrices. Training: a step with gradients already allocated, so that the memory
is that of activations.

    python -m benchmarks.eva02 [--rounds 3] [--side 1024] [--only forward|training]
"""

import argparse
import os
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F

from .harness.side_by_side import compare

SIDE = int(os.environ.get("EVA_BENCHMARK_SIDE", "1024"))  # pixels of the detector; passed on to the measured processes
OPTIONS: dict[str, Any] = {"img_size": SIDE // 16 * 14, "depth": 2, "num_classes": 1000}
QUANTITIES = ("time", "processor time", "memory")


def _timm() -> torch.nn.Module:
    import timm

    return timm.create_model("eva02_large_patch14_448", **OPTIONS)


def _ours(kernel: Literal["auto", "eager"] = "auto") -> torch.nn.Module:
    from eva_backbone.attention import Attention
    from eva_classification import create_classifier

    model = create_classifier("eva02_large_patch14", **OPTIONS)
    for module in model.modules():
        if isinstance(module, Attention):
            module.kernel = kernel
    return model


def _forward(model: torch.nn.Module) -> Callable[[], object]:
    torch.set_num_threads(2)
    pixels = torch.randn(1, 3, OPTIONS["img_size"], OPTIONS["img_size"])
    return torch.inference_mode()(lambda: model.eval()(pixels))


def _step(model: torch.nn.Module) -> Callable[[], object]:
    torch.set_num_threads(2)
    model.train()
    pixels = torch.randn(1, 3, OPTIONS["img_size"], OPTIONS["img_size"])
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return lambda: F.cross_entropy(model(pixels), torch.tensor([3])).backward()


def timm_forward() -> Callable[[], object]:
    return _forward(_timm())


def plain_forward() -> Callable[[], object]:
    return _forward(_ours("eager"))


def our_forward() -> Callable[[], object]:
    return _forward(_ours())


def timm_training() -> Callable[[], object]:
    return _step(_timm())


def plain_training() -> Callable[[], object]:
    return _step(_ours("eager"))


def our_training() -> Callable[[], object]:
    return _step(_ours())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, choices=[1024, 1536], help="image side in pixels; default: both")
    parser.add_argument("--only", choices=["forward", "training"])
    args = parser.parse_args()
    for side in [args.side] if args.side else [1024, 1536]:
        os.environ["EVA_BENCHMARK_SIDE"] = str(side)
        for part in [args.only] if args.only else ["forward", "training"]:
            for peer in ("timm", "plain"):
                if (side, part, peer) == (1536, "training", "plain"):
                    continue  # its matrices of logits and probabilities take more than 20 GB in two blocks
                title = f"{part}, tokens of {side} px, against {peer}"
                pair = (f"{peer}_{part}", f"our_{part}")
                compare("benchmarks.eva02", title, *pair, args.rounds, calls=2, against=peer, quantities=QUANTITIES)


if __name__ == "__main__":
    main()
