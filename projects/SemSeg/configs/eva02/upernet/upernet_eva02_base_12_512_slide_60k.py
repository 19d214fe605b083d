"""ADE20K: EVA-02-B with UperNet, 512 pixels, as published."""

from ...common.ade20k_loader_512 import dataloader
from ...common.models.eva02_base_upernet import model
from ...common.optim import optimizer
from ...common.schedule import train_for_iterations
from ...common.train_amp import train

published = {"init": ["eva02_B_pt_in21k_p14to16.pt"], "evaluate": ["eva02_B_ade_seg_upernet_sz512.pth"]}

dataloader.train.total_batch_size = 32
optimizer.lr = 6e-5
optimizer.params.decay_rate = 0.85
lr_multiplier = train_for_iterations(train, iterations=60_000, warmup_iters=1500)
