from .common.schedule import train_for_epochs
from .in1k_336 import dataloader, model, optimizer, train

published = {"init": ["eva_21k_224px_psz14.pt"], "evaluate": ["eva_21k_1k_560px_psz14_ema_89p7.pt"]}

# The published weights are those of the best of the 15 epochs.
model.img_size = 560
lr_multiplier = train_for_epochs(train, epochs=15, warmup_epochs=2, iters_per_epoch=2502, end=0.0)
