"""Demo, first step: pre-train a tiny EVA to predict the edges in masked patches, without labels."""

from detectron2.config import LazyCall as L

from eva_classification.evaluation import MaskedImageEvaluator
from eva_classification.mim import BlockMasking, MaskedImageModel
from eva_classification.mim.oriented_gradients import OrientedGradients
from eva_engine.training.optimization import WarmupCosine

from ..common.optim import optimizer
from ..common.train import train
from .eva_tiny import SIZE
from .mnist_loader import dataloader

model = L(MaskedImageModel)(
    **SIZE,
    # Any module that gives patch features; this one has no weights.
    teacher=L(OrientedGradients)(patch_size="${model.patch_size}", num_directions=8, cells=2),
    teacher_dim=32,
    masking=L(BlockMasking)(grid=(4, 4), num_masked=7, min_block=2),
)
dataloader.evaluator = L(MaskedImageEvaluator)()

train.device = "cpu"
train.amp.enabled = False
train.seed = 1
train.clip_grad_norm = 3.0
train.max_iter = 150
train.eval_period = 0
optimizer.update(lr=4e-3, betas=(0.9, 0.98), fused=True)
lr_multiplier = L(WarmupCosine)(max_iter="${train.max_iter}", warmup_iters=30, end=0.01)
