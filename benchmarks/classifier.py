"""EVA-g's classifier against timm's own, float32 on CPU: forward and a training step at 224 and 336 px.

Four blocks of the full width with head, two images; fused attention in both. Training: forward with label smoothing and
backward, gradients already allocated, so that the memory is that of activations.

    python -m benchmarks.classifier [--rounds 3] [--size 224]
"""

import argparse
import os
from collections.abc import Callable

import torch
import torch.nn.functional as F

from .harness.side_by_side import compare

SIZE = int(os.environ.get("EVA_BENCHMARK_SIZE", "224"))  # pixels; passed on to the measured processes
DEPTH, NUM_CLASSES, BATCH = 4, 1000, 2
# Memory differs only by the behaviour of the allocator, which varies between runs.
QUANTITIES = ("time", "processor time")


def _timm() -> torch.nn.Module:
    import timm

    return timm.create_model("eva_giant_patch14_224", img_size=SIZE, depth=DEPTH, num_classes=NUM_CLASSES)


def _ours() -> torch.nn.Module:
    from eva_classification import create_classifier

    return create_classifier("eva_giant_patch14", num_classes=NUM_CLASSES, img_size=SIZE, depth=DEPTH)


def _forward(build: Callable[[], torch.nn.Module]) -> Callable[[], object]:
    torch.set_num_threads(2)
    model, pixels = build().eval(), torch.randn(BATCH, 3, SIZE, SIZE)

    @torch.inference_mode()
    def forward() -> torch.Tensor:
        return model(pixels)

    return forward


def _step(build: Callable[[], torch.nn.Module]) -> Callable[[], object]:
    torch.set_num_threads(2)
    model, pixels = build().train(), torch.randn(BATCH, 3, SIZE, SIZE)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)

    def step() -> None:
        F.cross_entropy(model(pixels), torch.tensor([3, 4]), label_smoothing=0.3).backward()

    return step


def timm_forward() -> Callable[[], object]:
    return _forward(_timm)


def our_forward() -> Callable[[], object]:
    return _forward(_ours)


def timm_step() -> Callable[[], object]:
    return _step(_timm)


def our_step() -> Callable[[], object]:
    return _step(_ours)


PAIRS = {"forward": ("timm_forward", "our_forward"), "training step": ("timm_step", "our_step")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, choices=[224, 336], help="image side in pixels; default: both")
    args = parser.parse_args()
    for size in [args.size] if args.size else [224, 336]:
        os.environ["EVA_BENCHMARK_SIZE"] = str(size)
        for part, pair in PAIRS.items():
            title = f"{part}, {size} px"
            compare("benchmarks.classifier", title, *pair, args.rounds, calls=3, against="timm", quantities=QUANTITIES)


if __name__ == "__main__":
    main()
