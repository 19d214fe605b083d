import torch
from detectron2.config import LazyCall as L

from eva_engine.training.optimization import layer_decay_groups
from eva_semseg.parameter_groups import published_grouping

optimizer = L(torch.optim.AdamW)(
    # The training loop sets params.model before it builds the optimizer.
    params=L(layer_decay_groups)(
        base_lr="${..lr}",
        weight_decay="${..weight_decay}",
        # Learning rate of layer i: lr * decay_rate ** (depth + 1 - i).
        decay_rate=0.95,
        # As published: classifier and queries have the low learning rate of the patch embedding. null: they have the
        # full rate, and class token and position table have no weight decay.
        rule=L(published_grouping)(),
    ),
    lr=1.5e-5,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.05,
)
