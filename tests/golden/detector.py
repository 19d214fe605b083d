"""A Cascade R-CNN of any size from the `detector` and `net_constructor` entries of a spec."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.modeling.roi_heads import FastRCNNConvFCHead, MaskRCNNConvUpsampleHead

from detectron2_ext.modeling import CascadeROIHeads, FastRCNNOutputLayers, GeneralizedRCNN, SimpleFeaturePyramid, ViT

LEVELS = ["p2", "p3", "p4", "p5"]
STRIDES = [4, 8, 16, 32]
SELECTION_KEYS = (
    *("use_soft_nms", "method", "iou_threshold", "sigma", "min_score", "override_score_thresh", "class_wise"),
)
BuildNet = Callable[[Mapping[str, Any]], ViT]  # from the reference's options


def build_vit(options: Mapping[str, Any]) -> ViT:
    return ViT(**options)


def build_pyramid(
    net: Mapping[str, Any],
    out_channels: int,
    square_pad: int,
    norm: str = "LN",
    build_net: BuildNet = build_vit,
) -> SimpleFeaturePyramid:
    return SimpleFeaturePyramid(
        net=build_net(net),
        in_feature=net["out_feature"],
        out_channels=out_channels,
        scale_factors=[4.0, 2.0, 1.0, 0.5],
        top_block=LastLevelMaxPool(),
        norm=norm,
        square_pad=square_pad,
    )


def build_rpn(d: Mapping[str, Any]) -> RPN:
    aspects = d["anchor_aspect_ratios"]
    return RPN(
        in_features=[*LEVELS, "p6"],
        head=StandardRPNHead(in_channels=d["out_channels"], num_anchors=len(aspects), conv_dims=[-1, -1]),
        anchor_generator=DefaultAnchorGenerator(
            sizes=d["anchor_sizes"], aspect_ratios=aspects, strides=d["anchor_strides"], offset=0.0
        ),
        anchor_matcher=Matcher(d["rpn_anchor_thresholds"], [0, -1, 1], allow_low_quality_matches=True),
        box2box_transform=Box2BoxTransform(weights=(1.0, 1.0, 1.0, 1.0)),
        batch_size_per_image=d["rpn_batch_size_per_image"],
        positive_fraction=d["rpn_positive_fraction"],
        pre_nms_topk=tuple(d["rpn_pre_nms_topk"]),
        post_nms_topk=tuple(d["rpn_post_nms_topk"]),
        nms_thresh=d["rpn_nms_thresh"],
    )


def build_pooler(size: int) -> ROIPooler:
    scales = tuple(1.0 / stride for stride in STRIDES)
    return ROIPooler(output_size=size, scales=scales, sampling_ratio=0, pooler_type="ROIAlignV2")


def build_mask_keywords(d: Mapping[str, Any]) -> dict[str, Any]:
    shape = ShapeSpec(channels=d["out_channels"], width=14, height=14)
    head = MaskRCNNConvUpsampleHead(shape, num_classes=d["num_classes"], conv_dims=d["mask_conv_dims"], conv_norm="LN")
    return {"mask_in_features": LEVELS, "mask_pooler": build_pooler(14), "mask_head": head}


def build_detector(spec: Mapping[str, Any], build_net: BuildNet = build_vit) -> GeneralizedRCNN:
    """Build the model of a spec, with a mask head only if the spec has weights for it."""
    d = spec["detector"]
    fed_loss = spec.get("fed_loss")
    predictor = {
        "num_classes": d["num_classes"],
        "test_score_thresh": d["test_score_thresh"],
        "test_nms_thresh": d["test_nms_thresh"],
        "test_topk_per_image": d["test_topk_per_image"],
        "cls_agnostic_bbox_reg": True,
        "use_sigmoid_ce": bool(spec.get("use_sigmoid_ce") or fed_loss),
    }
    if fed_loss:
        predictor |= {
            "use_fed_loss": True,
            "fed_loss_num_classes": fed_loss["num_classes"],
            "get_fed_loss_cls_weights": torch.tensor(fed_loss["weights"]),
        }
    box_shape = ShapeSpec(channels=d["out_channels"], width=7, height=7)
    box_heads = [
        FastRCNNConvFCHead(box_shape, conv_dims=d["box_conv_dims"], fc_dims=d["box_fc_dims"], conv_norm="LN")
        for _ in d["cascade_ious"]
    ]
    has_masks = any(".mask_head." in name for name in spec["state_dict_shapes"])
    roi_heads = CascadeROIHeads(
        num_classes=d["num_classes"],
        batch_size_per_image=d["roi_batch_size_per_image"],
        positive_fraction=d["roi_positive_fraction"],
        box_in_features=LEVELS,
        box_pooler=build_pooler(7),
        box_heads=box_heads,
        box_predictors=[
            FastRCNNOutputLayers(
                ShapeSpec(channels=head.output_shape.channels), box2box_transform=Box2BoxTransform(weights), **predictor
            )
            for head, weights in zip(box_heads, d["cascade_box_weights"], strict=True)
        ],
        proposal_matchers=[Matcher([iou], [0, 1], allow_low_quality_matches=False) for iou in d["cascade_ious"]],
        maskness_thresh=spec.get("maskness_thresh"),
        **{key: spec[key] for key in SELECTION_KEYS if key in spec},
        **(build_mask_keywords(d) if has_masks else {}),
    )
    return GeneralizedRCNN(
        backbone=build_pyramid(spec["net_constructor"], d["out_channels"], d["square_pad"], build_net=build_net),
        proposal_generator=build_rpn(d),
        roi_heads=roi_heads,
        pixel_mean=d["pixel_mean"],
        pixel_std=d["pixel_std"],
    )
