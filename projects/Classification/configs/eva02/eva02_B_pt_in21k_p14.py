from ..common.eva02_pretrain import dataloader, model, optimizer, train, train_for_epochs, use_eva02

use_eva02("base")

dataloader.train.total_batch_size = 2048

optimizer.lr = 1.5e-3
lr_multiplier = train_for_epochs(train, epochs=150, warmup_epochs=1, iters_per_epoch=6932, end=1e-5 / 1.5e-3)
