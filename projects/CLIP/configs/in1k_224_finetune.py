from ...Classification.configs.common.schedule import train_for_epochs
from ...Classification.configs.in1k_336 import dataloader, model, optimizer, train

published = {"init": ["eva_clip_psz14.pt"], "evaluate": ["eva_clip_vis_enc_sz224_ftcls_89p1.pt"]}

# Training starts from the image tower of EVA-CLIP, without its projection.
model.img_size = 224
optimizer.params.decay_rate = 0.9
# According to the log of the published run: 2502 iterations per epoch with 512 images each. Its description says 1024.
dataloader.train.total_batch_size = 512
lr_multiplier = train_for_epochs(train, epochs=20, warmup_epochs=2, iters_per_epoch=2502, end=0.0)
