from ..common.eva02_finetune import dataloader, model, optimizer, train, train_for_epochs, use_eva02

published = {"init": ["eva02_S_pt_in21k_p14.pt"], "evaluate": ["eva02_S_pt_in21k_ft_in1k_p14.pt"]}

use_eva02("small", img_size=336)

optimizer.lr = 1e-4
optimizer.params.decay_rate = 0.8
lr_multiplier = train_for_epochs(train, epochs=100, warmup_epochs=5, iters_per_epoch=1251, end=0.0)
