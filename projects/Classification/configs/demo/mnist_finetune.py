"""Demo, second step: fine-tune the pre-trained model on the ten digits."""

from detectron2.config import LazyCall as L

from eva_classification import Classifier
from eva_classification.evaluation import ClassificationEvaluator
from eva_engine.training.optimization import WarmupCosine

from ..common.optim import optimizer
from ..common.train import train
from .eva_tiny import SIZE
from .mnist_loader import dataloader

# train.init_checkpoint: model_final.pth of mnist_mim.py
model = L(Classifier)(**SIZE, num_classes=10, pooling="mean", head="linear", smoothing=0.0)
dataloader.evaluator = L(ClassificationEvaluator)()

train.device = "cpu"
train.amp.enabled = False
train.seed = 1
train.clip_grad_norm = 3.0
train.max_iter = 850
train.eval_period = 0
optimizer.update(lr=4e-3, betas=(0.9, 0.98), fused=True)
lr_multiplier = L(WarmupCosine)(max_iter="${train.max_iter}", warmup_iters=30, end=0.01)
