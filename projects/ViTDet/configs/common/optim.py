import torch
from detectron2.config import LazyCall as L
from detectron2.solver.build import get_default_optimizer_params

from eva_engine.training.optimization import layer_decay

optimizer = L(torch.optim.AdamW)(
    # The trainer sets params.model before it builds the optimizer.
    params=L(get_default_optimizer_params)(
        base_lr="${..lr}",
        # Weight decay of normalisation layers; None uses that of all other parameters.
        weight_decay_norm=0.0,
        # Learning rate of layer i of the backbone: lr * lr_decay_rate ** (num_layers + 1 - i).
        lr_factor_func=L(layer_decay)(num_layers=12, lr_decay_rate=0.7),
        # Settings for parameters by the last component of their name.
        overrides={},
    ),
    lr=1e-4,
    betas=(0.9, 0.999),
    weight_decay=0.1,
)
