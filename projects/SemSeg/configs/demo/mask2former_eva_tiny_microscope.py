"""A small segmentation model, trained from random weights on nuclei, bacteria and background with two CPU cores."""

from detectron2.config import LazyCall as L

from eva_demos.segmentation.microscope import HELDOUT, TRAIN, microscope_images
from eva_engine.training.optimization import WarmupCosine
from eva_semseg.data import RandomCrop, RandomFlip, RandomScale
from eva_semseg.models import MODELS

from ..common.coco_stuff_loader import dataloader
from ..common.models.eva_giant_mask2former import model
from ..common.optim import optimizer
from ..common.train import train

SIDE = 128

_backbone, _head = MODELS["eva_tiny_mask2former"]
model.backbone = {"_target_": model.backbone._target_, **_backbone, "img_size": SIDE}
model.decode_head = {
    "_target_": model.decode_head._target_,
    **_head,
    "num_classes": 3,
    "num_queries": 8,
    "in_channels": "${..backbone.embed_dim}",
}
model.criterion.num_points = 1024
model.inference.windows.update(size=(SIDE, SIDE), stride=(96, 96), batch_size=16)
model.inference.update(pixel_mean=[70.0, 70.0, 70.0], pixel_std=[60.0, 60.0, 60.0])

# folder: folder of the images; null for microscope in the data root.
dataloader.train.dataset = L(microscope_images)(
    split=TRAIN, folder=None, num_classes="${model.decode_head.num_classes}"
)
dataloader.train.mapper.size = (SIDE, SIDE)
dataloader.train.mapper.augmentations = [
    L(RandomCrop)(size=(176, 176), cat_max_ratio=0.97),
    L(RandomScale)(long_side=176, short_side=176, ratios=(0.8, 1.25)),
    L(RandomCrop)(size=(SIDE, SIDE), cat_max_ratio=0.97),
    L(RandomFlip)(),
    L(RandomFlip)(vertical=True),
]
dataloader.train.total_batch_size = 8
dataloader.train.num_workers = 0
dataloader.test.dataset = L(microscope_images)(
    split=HELDOUT, folder=None, num_classes="${model.decode_head.num_classes}"
)
# Images keep their size, except that sides are rounded up to multiples of 32.
dataloader.test.mapper.views.update(long_side=650, short_side=650)
dataloader.test.num_workers = 0
dataloader.evaluator.output_dir = None

train.max_iter = 160
train.seed = 1
train.device = "cpu"
train.activation_checkpointing = ""
train.clip_grad_norm = 1.0
train.log_period = 10
train.eval_period = 40
train.checkpointer.period = 1000
optimizer.lr = 1e-3
optimizer.params.update(decay_rate=1.0, rule=None)
lr_multiplier = L(WarmupCosine)(max_iter="${train.max_iter}", warmup_iters=20, end=0.01)
