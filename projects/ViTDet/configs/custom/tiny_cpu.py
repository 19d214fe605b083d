"""A small detector for your photos, without weights and without a GPU: ten minutes on two CPU cores.

    python -m tools train --num-gpus 2 --config-file projects/ViTDet/configs/custom/tiny_cpu.py \
        --train-json train.json --train-images photos --val-json val.json --val-images photos

`fit` measures the training data before the run and sets pixel statistics, image size, anchors, objects per image and
schedule; see docs/howto/custom_data.md. What is below are the values without data.
"""

import detectron2.data.transforms as T
from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.poolers import ROIPooler

from detectron2_ext.fitting import RecipeFit
from detectron2_ext.modeling.conv_stem import ConvStemViT

from ..common.coco_loader_lsj_1024 import dataloader
from ..common.few_images import colour_jitter, use_few_image_schedule
from ..common.models.cascade_mask_rcnn_vitdet_eva import model
from ..common.optim import optimizer
from ..common.train import train

# Long side of the images; `fit` chooses another one.
SIDE, CHANNELS, FEATURES = 384, 64, 256

fit = L(RecipeFit)(pixels_per_image=100_000, object_side=32, least_object_side=10, images_seen=5000, max_epochs=100)

train.device = "cpu"
train.max_iter = 1500
train.clip_grad_norm = 5.0

dataloader.train.mapper.augmentations = [
    # The whole image; `fit` takes crops of large photos with small objects.
    L(T.RandomCrop)(crop_type="relative", crop_size=[1.0, 1.0]),
    L(T.RandomFlip)(horizontal=True),
    *colour_jitter(),
    L(T.ResizeScale)(min_scale=0.8, max_scale=1.2, target_height=SIDE, target_width=SIDE),
]
dataloader.train.total_batch_size = 4
dataloader.train.num_workers = 0
dataloader.test.mapper.augmentations = [L(T.ResizeShortestEdge)(short_edge_length=SIDE, max_size=SIDE)]
dataloader.test.batch_size = 4
dataloader.test.num_workers = 0

model.backbone.update(out_channels=CHANNELS, scale_factors=(2.0, 1.0, 0.5), top_block=None, square_pad=0)
model.backbone.net = L(ConvStemViT)(
    stem_widths=[24, 48, 96],
    img_size=SIDE,
    patch_size=8,
    embed_dim=96,
    depth=4,
    num_heads=3,
    mlp_ratio=4.0,
    qkv_bias=True,
    drop_path_rate=0.0,
    use_abs_pos=False,
    use_rel_pos=False,
    rope=True,
    window_size=10,
    window_block_indexes=[0, 1, 2],
    out_feature="last_feat",
)

_rpn = model.proposal_generator
_rpn.in_features = ["p2", "p3", "p4"]
_rpn.head.update(in_channels=CHANNELS, conv_dims=[-1])
_rpn.anchor_generator.update(sizes=[[24], [64], [128]], strides=[4, 8, 16], offset=0.5)
_rpn.batch_size_per_image = 64
_rpn.pre_nms_topk = (500, 500)
_rpn.post_nms_topk = (200, 200)

_heads = model.roi_heads
_heads.batch_size_per_image = 64
_heads.box_in_features = _heads.mask_in_features = ["p2", "p3", "p4"]
_scales = (1 / 4, 1 / 8, 1 / 16)
_heads.box_pooler = L(ROIPooler)(output_size=7, scales=_scales, sampling_ratio=1, pooler_type="ROIAlignV2")
_heads.mask_pooler = L(ROIPooler)(output_size=14, scales=_scales, sampling_ratio=1, pooler_type="ROIAlignV2")
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

optimizer.lr = 1e-3
optimizer.weight_decay = 0.05
optimizer.params.lr_factor_func.update(num_layers=4, lr_decay_rate=1.0)
lr_multiplier = use_few_image_schedule(train)
