"""The published recipe, shrunk so that a plan takes a moment."""

from benchmarks.plan_memory import CONFIG, ROOT, SMALL
from eva_engine.config import load_config

CONFIG = str(ROOT / CONFIG)
OVERRIDES = [
    *SMALL,
    "model.backbone.square_pad=256",
    "model.roi_heads.batch_size_per_image=32",
    "dataloader.train.total_batch_size=2",
    "train.device=cuda",
]


def small_recipe(*overrides):
    return load_config(CONFIG, [*OVERRIDES, *overrides])
