"""The detector: EVA's additions and changes to Detectron2's modules."""

from .box_selection import BoxSelection
from .cascade_roi_heads import CascadeROIHeads, rescore_by_maskness
from .chunked_rpn import ChunkedRPN
from .fast_rcnn import FastRCNNOutputLayers, lvis_v1_federated_weights
from .rcnn import GeneralizedRCNN
from .simple_feature_pyramid import ChannelLayerNorm, SimpleFeaturePyramid
from .soft_nms import batched_soft_nms, soft_nms
from .vit import ViT

__all__ = [
    "BoxSelection",
    "CascadeROIHeads",
    "ChannelLayerNorm",
    "ChunkedRPN",
    "FastRCNNOutputLayers",
    "GeneralizedRCNN",
    "SimpleFeaturePyramid",
    "ViT",
    "batched_soft_nms",
    "lvis_v1_federated_weights",
    "rescore_by_maskness",
    "soft_nms",
]
