"""What the fine-tuning runs of EVA-02 on ImageNet-1K have in common."""

from .imagenet_loader import dataloader
from .models.eva02 import model, use_eva02
from .optim import optimizer
from .schedule import train_for_epochs
from .train import train

dataloader.train.total_batch_size = 1024
dataloader.test.mapper.transform.crop_pct = 1.0

# As in the published runs, the patch embedding is not trained.
train.freeze = ["patch_embed.*"]
# The average is saved; recipes whose published accuracy is that of the average evaluate it.
train.ema.update(enabled=True, decay=0.9999)
train.checkpointer.best_metric = "accuracy/top1"
