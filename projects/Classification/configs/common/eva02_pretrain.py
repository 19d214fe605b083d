"""What the pre-training runs of EVA-02 have in common."""

from detectron2.config import LazyCall as L

from eva_classification.evaluation import MaskedImageEvaluator
from eva_engine.data import dataset_root

from .imagenet_loader import dataloader
from .models.eva02_mim import model, use_eva02
from .optim import optimizer
from .schedule import train_for_epochs
from .train import train

# ImageNet-21K, release of autumn 2011, 14.2 million images; the labels are not used.
dataloader.train.dataset.update(
    root=f"{dataset_root()}/imagenet21k", class_map=None, num_classes=None, has_labels=False
)
dataloader.train.mapper.transform.update(scale=(0.2, 1.0), auto_augment=None)
dataloader.train.mapper.on_error = "skip"
dataloader.test.dataset.update(class_map=None, num_classes=None, has_labels=False)
dataloader.evaluator = L(MaskedImageEvaluator)()

optimizer.betas = (0.9, 0.98)
optimizer.eps = 1e-6
train.clip_grad_norm = 3.0
