from .common.imagenet_loader import dataloader
from .common.models.eva_giant import model
from .common.optim import optimizer
from .common.schedule import train_for_epochs
from .common.train import train

published = {"init": ["eva_21k_224px_psz14.pt"], "evaluate": ["eva_21k_1k_336px_psz14_ema_89p6.pt"]}

model.update(img_size=336, smoothing=0.3)

dataloader.test.mapper.transform.crop_pct = 1.0

optimizer.lr = 3e-5
optimizer.params.decay_rate = 0.95
train.activation_checkpointing = "torch"
# As in the published runs, the patch embedding is not trained.
train.freeze = ["patch_embed.*"]
# The published accuracy is that of the moving average. After ten epochs the initial weights still make up 8 % of it.
train.ema.update(enabled=True, decay=0.9999, evaluate=True)
train.checkpointer.best_metric = "accuracy/top1"
lr_multiplier = train_for_epochs(train, epochs=10, warmup_epochs=2, iters_per_epoch=2502, end=0.0)
