from ...Classification.configs.common.schedule import train_for_epochs
from ...Classification.configs.in1k_336 import dataloader, model, optimizer, train

# train.init_checkpoint: eva_clip_psz14.pt, whose image tower is taken, without its projection. To evaluate:
# eva_clip_vis_enc_sz224_ftcls_89p1.pt
model.img_size = 224
optimizer.params.decay_rate = 0.9
# As the published run's log has it: 512 images in each of 2502 iterations an epoch. Its description says 1024.
dataloader.train.total_batch_size = 512
lr_multiplier = train_for_epochs(train, epochs=20, warmup_epochs=2, iters_per_epoch=2502, end=0.0)
