from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.roi_heads import FastRCNNConvFCHead

from detectron2_ext.modeling import CascadeROIHeads, FastRCNNOutputLayers

from .mask_rcnn_vitdet import model

for _name in ("box_head", "box_predictor", "proposal_matcher"):
    del model.roi_heads[_name]

# Three stages; each refines the boxes of the previous one.
model.roi_heads.update(
    _target_=CascadeROIHeads,
    box_heads=[
        L(FastRCNNConvFCHead)(
            input_shape=ShapeSpec(channels=256, height=7, width=7),
            conv_dims=[256, 256, 256, 256],
            fc_dims=[1024],
            conv_norm="LN",
        )
        for _ in range(3)
    ],
    box_predictors=[
        L(FastRCNNOutputLayers)(
            input_shape=ShapeSpec(channels=1024),
            test_score_thresh=0.05,
            test_topk_per_image=100,
            box2box_transform=L(Box2BoxTransform)(weights=weights),
            cls_agnostic_bbox_reg=True,
            num_classes="${...num_classes}",
        )
        for weights in [(10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15)]
    ],
    # IoU with a ground-truth box from which a proposal is foreground.
    proposal_matchers=[
        L(Matcher)(thresholds=[overlap], labels=[0, 1], allow_low_quality_matches=False) for overlap in (0.5, 0.6, 0.7)
    ],
)
