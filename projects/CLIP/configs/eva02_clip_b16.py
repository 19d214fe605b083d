"""EVA-02-CLIP B/16 on Merged-2B, 64 GPUs."""

from .common.eva02_clip import dataloader, lr_multiplier, model, optimizer, train

published = {"init": ["EVA02_B_psz14to16.pt", "ViT-B-16.pt"]}

# train.init_checkpoint is the output of `python -m tools join-clip-towers` for the two files of `published`.

model.name = "eva02_clip_b16"
dataloader.train.total_batch_size = 131_072
train.max_iter = 62_400
optimizer.params.update(visual_lr=2e-4, text_lr=2e-5, visual_decay_rate=0.75, text_decay_rate=0.75)
