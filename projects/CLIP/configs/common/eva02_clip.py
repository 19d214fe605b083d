"""What the published runs of EVA-02-CLIP and of EVA-CLIP g/14+ have in common.

Betas and eps of the optimizer are not settled. The published commands leave them to defaults that depend on whether the
model's name contains "vit": 0.9, 0.98 and 1e-6 if it does, as in the paper, and otherwise 0.9, 0.999 and 1e-8.
LAMB is that of DeepSpeed, which probably scaled the parts of tensors on one GPU; here it scales complete tensors.
Pairs were drawn with replacement, 40 million per epoch; here no pair is repeated before all were drawn. The numbers of
iterations are derived from the number of epochs, for eight loading processes per GPU.
"""

from detectron2.config import LazyCall as L

from eva_clip.lamb import Lamb
from eva_engine.data import dataset_root
from eva_engine.training.optimization import WarmupCosine

from .models.eva02_clip import model
from .optim import optimizer
from .pair_loader import dataloader
from .train import train

# 1.6 billion pairs of LAION-2B and 0.4 billion of COYO-700M, 10,000 per shard.
MERGED_2B = f"{dataset_root()}/merged2b/{{000000..199999}}.tar"
LAION_2B = f"{dataset_root()}/laion2b/{{000000..199999}}.tar"

dataloader.train.dataset.shards = MERGED_2B
dataloader.train.mapper.transform.scale = (0.9, 1.0)

optimizer._target_ = Lamb
optimizer.pop("max_grad_norm")
optimizer.update(betas=(0.9, 0.98), eps=1e-6, max_coeff=10.0, min_coeff=0.01)
optimizer.params.update(logit_scale_lr=5e-4, weight_decay=0.05)
# The first iteration has 1 / 2000 of the learning rate.
lr_multiplier = L(WarmupCosine)(max_iter="${train.max_iter}", warmup_iters=2000, start=1 / 2000, end=0.0)

train.seed = 4096
train.clip_grad_norm = 5.0
train.activation_checkpointing = "torch"
train.amp.dtype = "float16"
train.eval_period = 0
train.checkpointer.period = 2000
