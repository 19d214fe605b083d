from detectron2.config import LazyCall as L
from timm.optim.lamb import Lamb  # not from timm.optim, which imports all models of timm

from eva_clip.parameter_groups import tower_layer_decay_groups

optimizer = L(Lamb)(
    # The trainer sets params.model before it builds the optimizer. Vectors, biases, class token, position embeddings
    # and the logit scale have no weight decay.
    params=L(tower_layer_decay_groups)(
        visual_lr=4e-4,
        text_lr=4e-5,
        logit_scale_lr=5e-4,
        # Layer i of a tower has the learning rate lr * decay_rate ** (depth + 1 - i).
        visual_decay_rate=0.85,
        text_decay_rate=0.75,
        weight_decay="${..weight_decay}",
    ),
    lr=5e-4,
    betas=(0.9, 0.98),
    eps=1e-6,
    weight_decay=0.05,
    # train.clip_grad_norm limits the gradients.
    max_grad_norm=None,
)
