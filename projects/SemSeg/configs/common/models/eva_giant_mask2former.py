from detectron2.config import LazyCall as L

from eva_semseg.adapter import AdapterBackbone
from eva_semseg.head import Mask2FormerHead
from eva_semseg.inference import ViewInference
from eva_semseg.losses import SetCriterion
from eva_semseg.mask2former import Mask2Former
from eva_semseg.models import MODELS
from eva_semseg.sliding_windows import SlidingWindows

_backbone, _head = MODELS["eva_giant_mask2former"]

model = L(Mask2Former)(
    # img_size: image side of the position table, which is resized for images of other sizes.
    backbone=L(AdapterBackbone)(**_backbone, img_size=896),
    decode_head=L(Mask2FormerHead)(**_head, num_classes=171, in_channels="${..backbone.embed_dim}"),
    criterion=L(SetCriterion)(),
    inference=L(ViewInference)(
        # (height, width) of the sliding windows and the steps between them; size=None for the whole image at once.
        windows=L(SlidingWindows)(size=(896, 896), stride=(512, 512), batch_size=2),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    ),
)
