"""A small EVA detector for HeLa nuclei, trained from random weights in three minutes on two CPU cores (`make demo`)."""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import CosineParamScheduler

from eva_demos.detection.fluo_hela import HELDOUT, TRAIN, register_splits

from ..common.coco_loader_lsj_1024 import dataloader
from ..common.models.cascade_mask_rcnn_vitdet_eva import model
from ..common.optim import optimizer
from ..common.train import train

# Tiles of 96 pixels are enlarged by a factor of 2. A nucleus is then about 56 pixels wide, or 7 patches of 8 pixels.
SIDE, CHANNELS, FEATURES = 192, 64, 256

register_splits()

train.max_iter = 360
train.seed = 1
train.device = "cpu"
train.log_period = 10
train.eval_period = 180
train.checkpointer.period = 1000

dataloader.train.dataset.names = TRAIN
dataloader.train.mapper.augmentations = [
    # Together these are the eight symmetries of a square; the nuclei have no preferred orientation.
    L(T.RandomFlip)(horizontal=True, vertical=False),
    L(T.RandomFlip)(horizontal=False, vertical=True),
    L(T.RandomRotation)(angle=[0, 90], expand=False, sample_style="choice"),
    L(T.RandomBrightness)(intensity_min=0.6, intensity_max=1.2),
    L(T.Resize)(shape=(SIDE, SIDE)),
]
dataloader.train.mapper.instance_mask_format = "bitmask"
dataloader.train.total_batch_size = 4
dataloader.train.num_workers = 1
dataloader.test.dataset.names = HELDOUT
dataloader.test.mapper.augmentations = [L(T.Resize)(shape=(SIDE, SIDE))]
dataloader.test.batch_size = 8
dataloader.test.num_workers = 0

model.backbone.update(out_channels=CHANNELS, scale_factors=(2.0, 1.0, 0.5), top_block=None, square_pad=SIDE)
model.backbone.net.update(
    img_size=SIDE,
    patch_size=8,
    pretrain_img_size=SIDE,
    embed_dim=96,
    depth=4,
    num_heads=3,
    mlp_ratio=4.0,
    drop_path_rate=0.0,
    window_size=12,
    window_block_indexes=[0, 1, 2],
    freeze_patch_embed=False,
    use_act_checkpoint=False,
)
# The grey channel is repeated three times; the statistics are those of the training tiles.
model.pixel_mean = [26.0, 26.0, 26.0]
model.pixel_std = [56.0, 56.0, 56.0]

_rpn = model.proposal_generator
_rpn.in_features = ["p2", "p3", "p4"]
_rpn.head.update(in_channels=CHANNELS, conv_dims=[-1])
_rpn.anchor_generator.update(sizes=[[24], [48], [80]], strides=[4, 8, 16], offset=0.5)
_rpn.batch_size_per_image = 64
_rpn.pre_nms_topk = (400, 400)
_rpn.post_nms_topk = (100, 100)

_heads = model.roi_heads
_heads.num_classes = 1
# Nuclei touch, so boxes of true neighbours overlap; soft-NMS lowers their scores but does not remove them. No tile has
# more than ten nuclei.
_heads.update(use_soft_nms=True, method="linear", iou_threshold=0.5, soft_nms_topk=20)
_heads.batch_size_per_image = 24
# Regions of the size of a nucleus belong to the finest level only. One sample per bin is enough, because bins are only
# about two feature pixels wide.
_heads.box_in_features = _heads.mask_in_features = ["p2"]
_heads.box_pooler = L(ROIPooler)(output_size=7, scales=(1 / 4,), sampling_ratio=1, pooler_type="ROIAlignV2")
_heads.mask_pooler = L(ROIPooler)(output_size=14, scales=(1 / 4,), sampling_ratio=1, pooler_type="ROIAlignV2")
for _box_head in _heads.box_heads:
    _box_head.update(
        input_shape=ShapeSpec(channels=CHANNELS, height=7, width=7), conv_dims=[], fc_dims=[FEATURES, FEATURES]
    )
for _predictor in _heads.box_predictors:
    _predictor.update(input_shape=ShapeSpec(channels=FEATURES), test_score_thresh=0.01)
_heads.mask_head.update(
    input_shape=ShapeSpec(channels=CHANNELS, height=14, width=14),
    conv_dims=[CHANNELS] * 4,  # the last one upsamples
)

optimizer.lr = 1.5e-3
optimizer.weight_decay = 0.05
optimizer.params.lr_factor_func.update(num_layers=4, lr_decay_rate=1.0)
lr_multiplier = L(WarmupParamScheduler)(
    scheduler=L(CosineParamScheduler)(start_value=1.0, end_value=0.01),
    warmup_length=0.08,
    warmup_method="linear",
    warmup_factor=0.01,
)
