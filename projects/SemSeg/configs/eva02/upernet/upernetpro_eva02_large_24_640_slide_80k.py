"""ADE20K: EVA-02-L with a wider UperNet, 640 pixels, as published."""

from ...common.ade20k_loader_640 import dataloader
from ...common.models.eva02_large_upernet_wide import model
from ...common.optim import optimizer
from ...common.schedule import train_for_iterations
from ...common.train_amp import train

published = {"init": ["eva02_L_pt_m38m_p14to16.pt"], "evaluate": ["eva02_L_ade_seg_upernet_sz640.pth"]}

dataloader.train.total_batch_size = 16
optimizer.lr = 4e-5
optimizer.params.decay_rate = 0.9
lr_multiplier = train_for_iterations(train, iterations=80_000, warmup_iters=1500)
