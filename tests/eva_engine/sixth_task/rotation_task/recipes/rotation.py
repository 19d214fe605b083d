"""Recipe of the made-up task."""

import torch
from detectron2.config import LazyCall as L
from omegaconf import OmegaConf
from rotation_task.data import Gradients, collate, read_gradient
from rotation_task.evaluation import RotationEvaluator
from rotation_task.model import RotationModel

from eva_engine.data import EvalLoader, build_train_loader
from eva_engine.training.optimization import WarmupCosine, layer_decay_groups

published = {"init": ["eva_psz14.pt"], "evaluate": ["rotation_tiny.pth"]}

model = L(RotationModel)(img_size=28, patch_size=14, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2.0)
dataloader = OmegaConf.create(flags={"allow_objects": True})
dataloader.train = L(build_train_loader)(
    dataset=L(Gradients)(size=64),
    mapper=read_gradient,
    collate=collate,
    aspect_ratio_grouping=False,
    total_batch_size=16,
)
dataloader.test = L(EvalLoader)(dataset=L(Gradients)(size=12), mapper=read_gradient, collate=collate, batch_size=4)
dataloader.evaluator = L(RotationEvaluator)()
optimizer = L(torch.optim.AdamW)(
    params=L(layer_decay_groups)(base_lr="${..lr}", weight_decay="${..weight_decay}", decay_rate=0.9),
    lr=3e-3,
    weight_decay=0.01,
)
lr_multiplier = L(WarmupCosine)(max_iter="${train.max_iter}")
train = OmegaConf.create({"device": "cpu", "max_iter": 60, "seed": 1, "eval_period": 0, "log_period": 20})
