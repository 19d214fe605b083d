"""EVA-02-CLIP E/14 on LAION-2B, 144 GPUs of 80 GB."""

from .common.eva02_clip import LAION_2B, dataloader, lr_multiplier, model, optimizer, train

published = {"init": ["EVA02_E_psz14.pt", "CLIP-ViT-H-14-laion2B-s32B-b79K.bin"]}

# train.init_checkpoint is the output of `python -m tools join-clip-towers` for the two files of `published`.

model.name = "eva02_clip_e14"
model.visual.patch_dropout = 0.5
dataloader.train.dataset.shards = LAION_2B
dataloader.train.total_batch_size = 115_200
train.max_iter = 35_200
optimizer.params.update(visual_lr=4e-4, text_lr=4e-5, visual_decay_rate=0.9, text_decay_rate=0.75)
# The published run sharded the optimizer state only (ZeRO, stage 1); this also shards weights and gradients.
train.parallel = "fsdp"
