from ..common.eva02_finetune_in21k import dataloader, model, optimizer, train, train_for_epochs, use_eva02

published = {"init": ["eva02_B_pt_in21k_p14.pt"]}

use_eva02("base")

dataloader.train.total_batch_size = 2048

optimizer.lr = 3e-4
optimizer.params.decay_rate = 0.7
lr_multiplier = train_for_epochs(train, epochs=40, warmup_epochs=1, iters_per_epoch=6932, end=0.0)
