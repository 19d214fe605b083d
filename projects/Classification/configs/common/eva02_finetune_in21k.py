"""What the intermediate fine-tuning runs of EVA-02 on ImageNet-21K have in common."""

from eva_engine.data import dataset_root

from .imagenet_loader import dataloader
from .models.eva02 import model, use_eva02
from .optim import optimizer
from .schedule import train_for_epochs
from .train import train

model.num_classes = 21841

# ImageNet-21K, release of autumn 2011, 14.2 million images, one folder per class. There is no evaluation in training.
dataloader.train.dataset.update(root=f"{dataset_root()}/imagenet21k", class_map=None)
dataloader.train.mapper.transform.scale = (0.2, 1.0)
dataloader.train.mapper.on_error = "skip"
dataloader.evaluator = None

# As in the published runs, the patch embedding is not trained.
train.freeze = ["patch_embed.*"]
