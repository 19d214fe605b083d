from ..common.eva02_finetune_in21k import dataloader, model, optimizer, train, train_for_epochs, use_eva02

published = {"init": ["eva02_L_pt_in21k_p14.pt"]}

use_eva02("large", drop_path_rate=0.15)

dataloader.train.total_batch_size = 1024

optimizer.lr = 2e-4
optimizer.params.decay_rate = 0.75
lr_multiplier = train_for_epochs(train, epochs=20, warmup_epochs=1, iters_per_epoch=13864, end=0.0)
