"""Mask2Former with an adapter on a plain ViT of timm, for ADE20K or custom data; see docs/howto/timm_backbones.md."""

from detectron2.config import LazyCall as L

from eva_backbone.timm_models import pixel_mean, pixel_std, token_width
from eva_semseg.timm_adapter import TimmAdapterBackbone

from ..common.ade20k_loader import dataloader
from ..common.models.eva_giant_mask2former import model
from ..common.optim import optimizer
from ..common.schedule import train_for_iterations
from ..common.train import train

model.backbone = L(TimmAdapterBackbone)(
    # Name of a plain ViT in timm, with or without the tag of its weights.
    name="vit_small_patch16_dinov3.lvd1689m",
    # (height, width) of the crops; only models that are built for one size depend on it.
    img_size="${dataloader.train.mapper.size}",
    # True: timm takes the weights from its cache, or downloads them. Otherwise give their file as
    # train.init_checkpoint; without either, training starts from random weights.
    pretrained=False,
    # Heads of the adapter's attention; they divide half of the width of the ViT.
    deform_heads=6,
    # Of the last block, growing from 0 at the first block, and of the adapter.
    drop_path_rate=0.1,
)
model.decode_head.update(
    num_classes=150,
    in_channels=L(token_width)(name="${model.backbone.name}"),
    dim=256,
    num_queries=100,
    num_heads=8,
    hidden=1024,
    decoder_layers=9,
)
# The statistics that the weights were trained with, from timm's description of them.
for _key, _statistic in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
    model.inference[_key] = L(_statistic)(name="${model.backbone.name}")

# (height, width) of crops and evaluation windows, multiples of 32; change the stride of the windows with it.
dataloader.train.mapper.size = (512, 512)
model.inference.windows.update(size="${dataloader.train.mapper.size}", stride=(341, 341))
dataloader.train.mapper.augmentations[0].update(long_side=2048, short_side=512)
dataloader.test.mapper.views.update(long_side=2048, short_side=512)
dataloader.train.total_batch_size = 16

optimizer.lr = 1e-4
# The layers are those of timm; adapter and head have the full rate.
optimizer.params.update(decay_rate=0.9, rule=None)
lr_multiplier = train_for_iterations(train, iterations=80_000, warmup_iters=1500)
