from ..common.eva02_finetune import dataloader, model, optimizer, train, train_for_epochs, use_eva02

published = {
    "init": ["eva02_L_pt_m38m_medft_in21k_p14.pt"],
    "evaluate": ["eva02_L_pt_m38m_medft_in21k_ft_in1k_p14.pt"],
}

use_eva02("large", drop_path_rate=0.15, smoothing=0.2)

dataloader.train.total_batch_size = 512

optimizer.lr = 2e-5
optimizer.params.decay_rate = 0.85
train.ema.evaluate = True
lr_multiplier = train_for_epochs(train, epochs=20, warmup_epochs=2, iters_per_epoch=2502, end=0.0)
