"""Joint space-time attention over a clip of 16 frames at 224 px, 4,097 tokens: ours against eager attention.

One block of EVA-g's width with its head, one clip, float32 on the CPU: forward, and a training step (forward and
backward, gradients already allocated). Eager attention keeps several copies of 16 heads of 4,097 x 4,097 weights, 1.0
GiB each.

    python -m benchmarks.video_attention [--rounds 3]
"""

import argparse
from collections.abc import Callable

import torch

from .harness.side_by_side import compare

NUM_FRAMES, SIZE, DEPTH = 16, 224, 1


def _model(attention: str) -> torch.nn.Module:
    from eva_video import create_video_classifier

    torch.set_num_threads(2)
    torch.manual_seed(0)
    return create_video_classifier(
        "eva_giant_patch14_video",
        num_classes=400,
        num_frames=NUM_FRAMES,
        img_size=SIZE,
        depth=DEPTH,
        attention=attention,
    )


def _forward(attention: str) -> Callable[[], object]:
    model, clips = _model(attention).eval(), torch.randn(1, 3, NUM_FRAMES, SIZE, SIZE)

    @torch.inference_mode()
    def forward() -> torch.Tensor:
        return model(clips)

    return forward


def _step(attention: str) -> Callable[[], object]:
    model, clips = _model(attention).train(), torch.randn(1, 3, NUM_FRAMES, SIZE, SIZE)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return lambda: model({"video": clips, "label": torch.tensor([3])})["loss_cls"].backward()


def eager_forward() -> Callable[[], object]:
    return _forward("eager")


def our_forward() -> Callable[[], object]:
    return _forward("auto")


def eager_step() -> Callable[[], object]:
    return _step("eager")


def our_step() -> Callable[[], object]:
    return _step("auto")


PAIRS = {"forward": ("eager_forward", "our_forward"), "training step": ("eager_step", "our_step")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    for part, pair in PAIRS.items():
        compare("benchmarks.video_attention", f"{part}, 4,097 tokens", *pair, args.rounds, against="the formula")


if __name__ == "__main__":
    main()
