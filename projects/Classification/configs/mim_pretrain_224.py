from detectron2.config import LazyCall as L

from eva_classification.evaluation import MaskedImageEvaluator
from eva_engine.data import dataset_root

from .common.imagenet_loader import dataloader
from .common.models.eva_giant_mim import model
from .common.optim import optimizer
from .common.schedule import train_for_epochs
from .common.train import train

# 29.6 million images of ImageNet-21K, ADE20K, CC12M, CC3M, COCO and Objects365 in one folder, without labels.
dataloader.train.dataset.update(root=f"{dataset_root()}/merged30m", class_map=None, num_classes=None, has_labels=False)
dataloader.train.mapper.transform.update(scale=(0.2, 1.0), auto_augment=None)
dataloader.train.mapper.on_error = "skip"
dataloader.train.total_batch_size = 4096
dataloader.test.dataset.update(class_map=None, num_classes=None, has_labels=False)
dataloader.evaluator = L(MaskedImageEvaluator)()

optimizer.lr = 1e-3
optimizer.betas = (0.9, 0.98)
optimizer.eps = 1e-6
train.clip_grad_norm = 3.0
lr_multiplier = train_for_epochs(train, epochs=150, warmup_epochs=2, iters_per_epoch=7242, end=1e-5 / 1e-3)
