from ..common.eva02_pretrain import dataloader, model, optimizer, train, train_for_epochs, use_eva02

use_eva02("tiny")

dataloader.train.total_batch_size = 4000

optimizer.lr = 3e-3
lr_multiplier = train_for_epochs(train, epochs=240, warmup_epochs=1, iters_per_epoch=3549, end=1e-5 / 3e-3)
