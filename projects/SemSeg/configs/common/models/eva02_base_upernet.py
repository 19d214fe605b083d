from detectron2.config import LazyCall as L

from eva_semseg.fpn_backbone import FpnBackbone
from eva_semseg.inference import ViewInference
from eva_semseg.models import MODELS
from eva_semseg.sliding_windows import SlidingWindows
from eva_semseg.uper_head import FCNHead, UPerHead
from eva_semseg.upernet import UperNet

_backbone, _head, _auxiliary_head = MODELS["eva02_base_upernet"]

model = L(UperNet)(
    # img_size: image side of the position table, which is resized for images of other sizes.
    backbone=L(FpnBackbone)(**_backbone),
    decode_head=L(UPerHead)(**_head, num_classes=150, in_channels="${..backbone.embed_dim}"),
    auxiliary_head=L(FCNHead)(
        **_auxiliary_head, num_classes="${..decode_head.num_classes}", in_channels="${..backbone.embed_dim}"
    ),
    auxiliary_weight=0.4,
    inference=L(ViewInference)(
        # (height, width) of the sliding windows and the steps between them; size=None for the whole image at once.
        windows=L(SlidingWindows)(size=(512, 512), stride=(341, 341), batch_size=4),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    ),
)
