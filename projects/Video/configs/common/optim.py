import torch
from detectron2.config import LazyCall as L

from eva_engine.training.optimization import layer_decay_groups

optimizer = L(torch.optim.AdamW)(
    # The training loop sets params.model before it builds the optimizer. One-dimensional parameters (biases, norms),
    # the class token and the position table have no weight decay.
    params=L(layer_decay_groups)(
        base_lr="${..lr}",
        weight_decay="${..weight_decay}",
        # Learning rate of layer i: lr * decay_rate ** (depth + 1 - i).
        decay_rate=1.0,
    ),
    lr=8e-6,
    betas=(0.9, 0.98),
    eps=1e-6,
    weight_decay=0.05,
)
