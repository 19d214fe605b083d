"""EVA-02-CLIP L/14 on Merged-2B, 128 GPUs."""

from .common.eva02_clip import dataloader, lr_multiplier, model, optimizer, train

published = {"init": ["EVA02_L_psz14.pt", "ViT-L-14.pt"]}

# train.init_checkpoint is the output of `python -m tools join-clip-towers` for the two files of `published`.

model.name = "eva02_clip_l14"
dataloader.train.total_batch_size = 131_072
train.max_iter = 31_200
optimizer.params.update(visual_lr=4e-4, text_lr=4e-5, visual_decay_rate=0.85, text_decay_rate=0.75)
