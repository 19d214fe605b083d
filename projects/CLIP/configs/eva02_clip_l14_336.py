"""EVA-02-CLIP L/14 at 336 pixels on Merged-2B, 128 GPUs."""

from .common.eva02_clip import dataloader, lr_multiplier, model, optimizer, train

published = {"init": ["EVA02_CLIP_L_psz14_s4B.pt", "EVA02_CLIP_L_psz14_224to336.pt"]}

# train.init_checkpoint is the output of `python -m tools join-clip-towers` with one of the files of `published` for
# both towers. The second is the first with positions for 336 pixels, as the loader makes them too.

model.name = "eva02_clip_l14_336"
model.visual.img_size = 336
dataloader.train.total_batch_size = 61_440
train.max_iter = 32_800
optimizer.params.update(visual_lr=4e-4, text_lr=4e-5, visual_decay_rate=0.75, text_decay_rate=0.65)
