from detectron2.config import LazyCall as L
from timm.data import Mixup

from eva_engine.data import dataset_root

from .common.imagenet_loader import dataloader
from .common.models.eva_giant import model
from .common.optim import optimizer
from .common.schedule import train_for_epochs
from .common.train import train

published = {"init": ["eva_psz14.pt"]}

model.update(img_size=224, num_classes=21841)

# ImageNet-21K, release of autumn 2011, 14.2 million images, one folder per class. There is no evaluation in training.
dataloader.train.dataset.update(root=f"{dataset_root()}/imagenet21k", class_map=None)
dataloader.train.mapper.transform.scale = (0.5, 1.0)
dataloader.train.mapper.on_error = "skip"
dataloader.train.collate.mixup = L(Mixup)(
    mixup_alpha=0.0, cutmix_alpha=1.0, prob=1.0, mode="batch", label_smoothing=0.1, num_classes="${model.num_classes}"
)
dataloader.train.total_batch_size = 4096
dataloader.evaluator = None

optimizer.lr = 1e-4
optimizer.betas = (0.9, 0.98)
optimizer.eps = 1e-6
optimizer.params.decay_rate = 0.85
train.activation_checkpointing = "torch"
# As in the published runs, the patch embedding is not trained.
train.freeze = ["patch_embed.*"]
lr_multiplier = train_for_epochs(train, epochs=60, warmup_epochs=15, iters_per_epoch=3466, end=1e-6 / 1e-4)
