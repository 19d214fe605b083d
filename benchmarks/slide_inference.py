"""Sliding-window inference on one image: ours against one window at a time with scores at full resolution.

The peer does what the published code does: for each window, it resizes the scores to the window and adds them to a map
of all classes at the image size; then it divides by the counts and resizes the map to the original size. Ours runs
windows in batches and multiplies the model's scores at a quarter of the resolution by the resize matrices of both axes.

The image of 640 x 854 pixels is resized to 896 x 1216 (two windows of 896) and to 1280 x 1728 (six windows); the 150
classes are those of ADE20K. `tiny` is the small model of this package; `none` measures all but the model.

    python -m benchmarks.slide_inference [--rounds 3] [--threads 2] [--model tiny none] [--size 896x1216 1280x1728]
"""

import argparse
import os
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from eva_semseg.mask2former import semantic_scores
from eva_semseg.models import create_segmentation_model
from eva_semseg.sliding_windows import SlidingWindows, window_starts

from .harness.side_by_side import compare

CLASSES, WINDOW, STRIDE, ORIGINAL = 150, 896, 512, (640, 854)
MODELS = {"tiny": "with the tiny model", "none": "all but the model"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--size", nargs="+", default=["896x1216", "1280x1728"])
    args = parser.parse_args()
    os.environ["SLIDE_THREADS"] = str(args.threads)
    for os.environ["SLIDE_MODEL"] in args.model:
        for os.environ["SLIDE_SIZE"] in args.size:
            title = f"{MODELS[os.environ['SLIDE_MODEL']]}, {os.environ['SLIDE_SIZE']} px"
            compare("benchmarks.slide_inference", title, "one_at_a_time", "ours", args.rounds, against="one at a time")


def one_at_a_time() -> Callable[[], Tensor]:
    pixels, score = _setup()

    @torch.inference_mode()
    def run() -> Tensor:
        height, width = pixels.shape[2:]
        total, counts = pixels.new_zeros(1, CLASSES, height, width), pixels.new_zeros(1, 1, height, width)
        for top in window_starts(height, WINDOW, STRIDE):
            for left in window_starts(width, WINDOW, STRIDE):
                scores = score(pixels[:, :, top : top + WINDOW, left : left + WINDOW])
                scores = F.interpolate(scores, size=(WINDOW, WINDOW), mode="bilinear", align_corners=False)
                # Padded to the full map and added, as in the published code.
                total += F.pad(scores, (left, width - left - WINDOW, top, height - top - WINDOW))
                counts[:, :, top : top + WINDOW, left : left + WINDOW] += 1
        scores = F.interpolate(total / counts, size=ORIGINAL, mode="bilinear", align_corners=False)
        return scores.softmax(1).argmax(1)

    return run


def ours() -> Callable[[], Tensor]:
    pixels, score = _setup()
    windows = SlidingWindows((WINDOW, WINDOW), (STRIDE, STRIDE), batch_size=2)

    @torch.inference_mode()
    def run() -> Tensor:
        return windows(score, pixels, output_size=ORIGINAL).rows().softmax(1).argmax(1)

    return run


def _setup() -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    torch.set_num_threads(int(os.environ["SLIDE_THREADS"]))
    torch.manual_seed(0)
    height, width = map(int, os.environ["SLIDE_SIZE"].split("x"))
    pixels = torch.randn(1, 3, height, width)
    if os.environ["SLIDE_MODEL"] == "none":
        ready = torch.rand(2, CLASSES, WINDOW // 4, WINDOW // 4)
        return pixels, lambda window: ready[: len(window)]
    model = create_segmentation_model("eva_tiny_mask2former", num_classes=CLASSES)
    return pixels, lambda window: semantic_scores(*model.decode_head.predict(model.backbone(window)))


if __name__ == "__main__":
    main()
