from detectron2.config import LazyCall as L

from eva_classification.lars import LARS
from eva_classification.transforms import probe_transform
from eva_engine.training.optimization import layer_decay_groups

from .common.imagenet_loader import dataloader
from .common.models.eva_giant import model
from .common.schedule import train_for_epochs
from .common.train import train

# train.init_checkpoint: the image tower of EVA-CLIP
model.update(img_size=224, pooling="class", head="probe", drop_path_rate=0.0)

dataloader.train.mapper.transform = L(probe_transform)(size="${model.img_size}")
dataloader.train.total_batch_size = 16000

optimizer = L(LARS)(
    params=L(layer_decay_groups)(base_lr="${..lr}", weight_decay="${..weight_decay}"),
    lr=1.0,
    momentum=0.9,
    trust_coefficient=0.001,
    weight_decay=0.0,
)
train.freeze = ["cls_token", "pos_embed", "patch_embed.*", "blocks.*", "norm.*"]
# All processes use the batch normalisation statistics of rank 0.
train.ddp.broadcast_buffers = True
train.checkpointer.best_metric = "accuracy/top1"
lr_multiplier = train_for_epochs(train, epochs=90, warmup_epochs=10, iters_per_epoch=80, end=0.0)
