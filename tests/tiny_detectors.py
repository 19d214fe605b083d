"""Tiny detectors of every kind that can be exported, with random weights that find something."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from detectron2.data import transforms as T
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, StandardROIHeads
from golden.detector import LEVELS, build_detector, build_mask_keywords, build_pooler

from detectron2_ext.modeling import FastRCNNOutputLayers, GeneralizedRCNN, SimpleFeaturePyramid
from detectron2_ext.modeling.timm_vit import TimmViT
from detectron2_ext.prediction import DetectionPredictor
from eva_deploy.graph import ExportGraph
from eva_engine.prediction.categories import Categories

SIDE = 64
SPEC: dict[str, Any] = {
    "detector": {
        "num_classes": 4,
        "out_channels": 16,
        "square_pad": SIDE,
        "pixel_mean": [120.0, 115.0, 100.0],
        "pixel_std": [58.0, 57.0, 57.0],
        "anchor_sizes": [[8], [16], [24], [32], [48]],
        "anchor_strides": [4, 8, 16, 32, 64],
        "anchor_aspect_ratios": [0.5, 1.0, 2.0],
        "rpn_anchor_thresholds": [0.3, 0.7],
        "rpn_batch_size_per_image": 32,
        "rpn_positive_fraction": 0.5,
        "rpn_nms_thresh": 0.7,
        "rpn_pre_nms_topk": [200, 100],
        "rpn_post_nms_topk": [60, 40],
        "roi_batch_size_per_image": 32,
        "roi_positive_fraction": 0.25,
        "box_conv_dims": [16],
        "box_fc_dims": [32],
        "cascade_ious": [0.5, 0.6, 0.7],
        "cascade_box_weights": [[10, 10, 5, 5], [20, 20, 10, 10], [30, 30, 15, 15]],
        "mask_conv_dims": [16, 16],
        "test_score_thresh": 0.05,
        "test_nms_thresh": 0.5,
        "test_topk_per_image": 20,
    },
    "state_dict_shapes": {"roi_heads.mask_head.deconv.weight": []},
}
EVA01 = {
    "img_size": SIDE,
    "embed_dim": 24,
    "depth": 2,
    "num_heads": 2,
    "window_size": 3,
    "window_block_indexes": [0],
    "use_rel_pos": True,
    "pretrain_img_size": 32,
    "beit_like_qkv_bias": True,
    "interp_type": "beit",
    "out_feature": "last_feat",
}
EVA02 = {
    **{key: EVA01[key] for key in ("img_size", "embed_dim", "depth", "num_heads", "window_size", "out_feature")},
    "window_block_indexes": [0],
    "beit_like_qkv_bias": True,
    "rope": True,
    "subln": True,
    "naiveswiglu": True,
    "mlp_ratio": 8 / 3,
}
# Differences of `SPEC` and of its detector, by name.
KINDS: dict[str, dict[str, Any]] = {
    "hard": {},
    "soft": {"use_soft_nms": True, "method": "linear", "maskness_thresh": 0.5},
    "gaussian": {"use_soft_nms": True, "method": "gaussian", "min_score": 0.02},
    "naive": {"use_soft_nms": True, "method": "naive", "class_wise": False},
    "sigmoid": {"use_sigmoid_ce": True},
    "boxes": {"state_dict_shapes": {}},
    "strict": {"override_score_thresh": 0.9999},
    "loose": {"override_score_thresh": 0.0},
}


def tiny_detector(net: str = "eva01", kind: str = "hard", heads: str = "cascade") -> GeneralizedRCNN:
    """Build a detector in evaluation mode.

    Args:
        net: "eva01", "eva02" or "timm".
        kind: Key of `KINDS`.
        heads: "cascade", or "standard" for a single stage with boxes of every class.
    """
    torch.manual_seed(0)
    options = {"eva01": EVA01, "eva02": EVA02, "timm": EVA01}[net]
    model = build_detector(SPEC | KINDS[kind] | {"net_constructor": options})
    if net == "timm":
        # The class token takes part in the attention of every window.
        vit = TimmViT(
            "vit_tiny_patch16_224", SIDE, window_size=2, num_global_blocks=1, depth=2, embed_dim=24, num_heads=2
        )
        channels = SPEC["detector"]["out_channels"]
        old = model.backbone
        model.backbone = SimpleFeaturePyramid(
            vit, vit.out_feature, channels, [4.0, 2.0, 1.0, 0.5], top_block=old.top_block, square_pad=SIDE
        )
    if heads == "standard":
        model.roi_heads = _standard_heads()
    for name, parameter in model.named_parameters():
        # Scores and boxes spread, so that there is something to select; objects are not all of one class.
        if name.endswith(("cls_score.weight", "mask_head.predictor.weight")):
            torch.nn.init.normal_(parameter, std=0.5)
        elif name.endswith(("objectness_logits.weight", "bbox_pred.weight", "anchor_deltas.weight")):
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def _standard_heads() -> StandardROIHeads:
    d = SPEC["detector"]
    shape = ShapeSpec(channels=d["out_channels"], width=7, height=7)
    head = FastRCNNConvFCHead(shape, conv_dims=d["box_conv_dims"], fc_dims=d["box_fc_dims"], conv_norm="LN")
    predictor = FastRCNNOutputLayers(
        ShapeSpec(channels=head.output_shape.channels),
        box2box_transform=Box2BoxTransform((10, 10, 5, 5)),
        num_classes=d["num_classes"],
        test_score_thresh=d["test_score_thresh"],
        test_topk_per_image=d["test_topk_per_image"],
        use_soft_nms=True,
        soft_nms_topk=d["test_topk_per_image"],
    )
    return StandardROIHeads(
        num_classes=d["num_classes"],
        batch_size_per_image=32,
        positive_fraction=0.25,
        proposal_matcher=Matcher([0.5], [0, 1], allow_low_quality_matches=False),
        box_in_features=LEVELS,
        box_pooler=build_pooler(7),
        box_head=head,
        box_predictor=predictor,
        **build_mask_keywords(d),
    )


def tiny_predictor(model: Any, **options: Any) -> DetectionPredictor:
    """Return the predictor of a tiny detector, or of what stands in for one."""
    number_of = range(SPEC["detector"]["num_classes"])
    categories = Categories(tuple(f"class {number}" for number in number_of), tuple(number_of))
    resize = T.ResizeShortestEdge(SIDE, max_size=SIDE)
    return DetectionPredictor(model, resize, categories, "cpu", score_threshold=0.1, **options)


def run_by_torch(graph: ExportGraph) -> Callable[[list[np.ndarray]], dict[str, np.ndarray]]:
    """Return a function like that of a runtime, which runs the module of a graph."""
    module = graph.module.eval()

    def run(arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            found = module(*map(torch.from_numpy, arrays))
        return dict(zip(graph.outputs, (value.numpy() for value in found), strict=True))

    return run


def pad(images: list[torch.Tensor], value: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images [B, 3, SIDE, SIDE] with `value` in the padding, and their sizes [B, 2]."""
    padded = torch.full((len(images), 3, SIDE, SIDE), value)
    for target, image in zip(padded, images, strict=True):
        target[:, : image.shape[1], : image.shape[2]] = image
    return padded, torch.tensor([image.shape[1:] for image in images])
