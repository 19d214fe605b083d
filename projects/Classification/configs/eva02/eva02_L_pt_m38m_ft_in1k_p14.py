from ..common.eva02_finetune import dataloader, model, optimizer, train, train_for_epochs, use_eva02

published = {"init": ["eva02_L_pt_m38m_p14.pt"], "evaluate": ["eva02_L_pt_m38m_ft_in1k_p14.pt"]}

use_eva02("large", drop_path_rate=0.15, smoothing=0.2)

optimizer.lr = 7e-5
optimizer.params.decay_rate = 0.8
train.ema.evaluate = True
lr_multiplier = train_for_epochs(train, epochs=30, warmup_epochs=3, iters_per_epoch=1251, end=0.0)
