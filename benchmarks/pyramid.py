"""Detectron2's stock simple feature pyramid against ours: giant width, one image of 1280 px, float32 on CPU.

python -m benchmarks.pyramid [--rounds 3] [--only inference|training]
"""

import argparse
from collections.abc import Callable

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from detectron2.modeling.backbone import vit
from detectron2.modeling.backbone.fpn import LastLevelMaxPool

from .harness.side_by_side import compare

WIDTH, SIDE = 1408, 80  # channels and tokens per side of the map of stride 16


class _OneMap(Backbone):
    """Stand-in for the ViT that returns its input as the map of stride 16."""

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {"last_feat": ShapeSpec(channels=WIDTH, stride=16)}

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"last_feat": x}


def _pyramid(cls: type[vit.SimpleFeaturePyramid]) -> tuple[vit.SimpleFeaturePyramid, torch.Tensor]:
    torch.manual_seed(0)
    torch.set_num_threads(2)
    model = cls(_OneMap(), "last_feat", 256, [4.0, 2.0, 1.0, 0.5], LastLevelMaxPool(), "LN", 1280)
    return model, torch.randn(1, SIDE, SIDE, WIDTH).permute(0, 3, 1, 2)  # as the ViT leaves it


def _inference(cls: type[vit.SimpleFeaturePyramid]) -> Callable[[], object]:
    model, tokens = _pyramid(cls)
    model.eval()

    def run() -> object:
        with torch.no_grad():
            return model(tokens)

    return run


def _training(cls: type[vit.SimpleFeaturePyramid]) -> Callable[[], object]:
    model, tokens = _pyramid(cls)
    tokens.requires_grad_()
    return lambda: sum(level.sum() for level in model(tokens).values()).backward()


def stock_inference() -> Callable[[], object]:
    return _inference(vit.SimpleFeaturePyramid)


def our_inference() -> Callable[[], object]:
    from detectron2_ext.modeling import SimpleFeaturePyramid

    return _inference(SimpleFeaturePyramid)


def stock_training() -> Callable[[], object]:
    return _training(vit.SimpleFeaturePyramid)


def our_training() -> Callable[[], object]:
    from detectron2_ext.modeling import SimpleFeaturePyramid

    return _training(SimpleFeaturePyramid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["inference", "training"])
    args = parser.parse_args()
    for part in [args.only] if args.only else ["inference", "training"]:
        pair = f"stock_{part}", f"our_{part}"
        compare("benchmarks.pyramid", f"pyramid, {part}", *pair, args.rounds, against="stock Detectron2")


if __name__ == "__main__":
    main()
