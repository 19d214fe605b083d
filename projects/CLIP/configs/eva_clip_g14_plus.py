"""EVA-CLIP g/14+, the image tower of EVA-CLIP with a larger text tower, on Merged-2B, 112 GPUs.

The name of the released file says eleven billion pairs, of which the published command sees four billion.
"""

from .common.eva02_clip import dataloader, lr_multiplier, model, optimizer, train

published = {"init": ["EVA01_g_psz14.pt", "CLIP-ViT-H-14-laion2B-s32B-b79K.bin"]}

# train.init_checkpoint is the output of `python -m tools join-clip-towers` for the two files of `published`.

model.name = "eva_clip_g14_plus"
model.visual.patch_dropout = 0.5
dataloader.train.total_batch_size = 114_688
train.max_iter = 35_200
optimizer.params.update(visual_lr=4e-4, text_lr=4e-5, visual_decay_rate=0.85, text_decay_rate=0.75)
