"""EVA-CLIP g/14 on LAION-400M.

Published settings: the data, 11 billion seen pairs in batches of 41 K, float16 with a dynamic loss scale, an image
tower initialized from masked image modelling (EVA), and a text tower initialized from OpenAI's CLIP-L. The other
settings of this run were not published. Their sources are marked below: "g/14+" is the published setting of another
model, EVA-CLIP g/14+, which has the same image tower and a batch size of 114,688; "ours" is our own choice, not
validated by a run of this size.
"""

from detectron2.config import LazyCall as L

from eva_engine.training.optimization import WarmupCosine

from .common.models.eva_clip_g14 import model
from .common.optim import optimizer
from .common.pair_loader import dataloader
from .common.train import train

published = {"init": ["eva_psz14.pt", "ViT-L-14.pt"]}

# train.init_checkpoint is the output of `python -m tools join-clip-towers` for the two files of `published`.

# "41 K" is taken as 40,960, which is divisible by 256 GPUs. The number of iterations is 11e9 / 40,960.
dataloader.train.total_batch_size = 40960
train.max_iter = 268_555

# Crops of 0.9 to 1.0 of the image's area: ours. Stochastic depth of 0.4 is in the published configuration of the model,
# but it is not stated that training used it. g/14+ drops half of the patches instead, which this recipe does not.
dataloader.train.mapper.transform.scale = (0.9, 1.0)
model.visual.drop_path_rate = 0.4

# From g/14+: LAMB, learning rates and layer decay of both towers, weight decay, clipping, activation checkpointing.
optimizer.params.update(
    visual_lr=4e-4, text_lr=4e-5, logit_scale_lr=5e-4, visual_decay_rate=0.85, text_decay_rate=0.75, weight_decay=0.05
)
train.clip_grad_norm = 5.0
train.activation_checkpointing = "torch"
# Warm-up of 2,000 iterations: g/14+. Cosine decay to 0, betas of the optimizer: ours.
lr_multiplier = L(WarmupCosine)(max_iter="${train.max_iter}", warmup_iters=2000, start=0.0, end=0.0)
optimizer.betas = (0.9, 0.98)

train.amp.dtype = "float16"
train.eval_period = 0
train.checkpointer.period = 2000
