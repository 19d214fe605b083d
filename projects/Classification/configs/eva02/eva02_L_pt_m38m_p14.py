from eva_engine.data import dataset_root

from ..common.eva02_pretrain import dataloader, model, optimizer, train, train_for_epochs, use_eva02

use_eva02("large", drop_path_rate=0.1)

# 38 million images of ImageNet-21K, ADE20K, CC12M, CC3M, COCO, Objects365 and OpenImages in one folder. The exact
# number, and therefore that of the iterations per epoch, was not published.
dataloader.train.dataset.root = f"{dataset_root()}/merged38m"
dataloader.train.total_batch_size = 2048

optimizer.lr = 1.5e-3
lr_multiplier = train_for_epochs(train, epochs=56, warmup_epochs=1, iters_per_epoch=18554, end=1e-5 / 1.5e-3)
