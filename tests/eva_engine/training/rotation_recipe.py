"""The recipe of the sixth task, small enough to train in a test, and a hook for it."""

import sys
from pathlib import Path

import torch
from detectron2.engine import HookBase
from omegaconf import OmegaConf

PACKAGE = Path(__file__).parents[1] / "sixth_task"
RECIPE = PACKAGE / "rotation_task/recipes/rotation.py"
sys.path.append(str(PACKAGE))

from eva_engine.config import load_config  # noqa: E402 (rotation_task must be importable)


class MeanLoss(HookBase):
    """Log the mean of all losses so far, and draw a random number, which must not change the training."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale, self.sum, self.number = scale, 0.0, 0

    def after_step(self):
        torch.rand(1)
        self.sum += self.scale * self.trainer.storage.latest()["total_loss"][0]
        self.number += 1
        self.trainer.storage.put_scalar("mean_loss", self.sum / self.number, smoothing_hint=False)

    def state_dict(self):
        return {"sum": self.sum, "number": self.number}

    def load_state_dict(self, state):
        self.sum, self.number = state["sum"], state["number"]


def rotation_recipe(folder, *overrides, hooks=()):
    cfg = load_config(
        str(RECIPE),
        [f"train.output_dir={folder}", "train.log_period=1", "train.checkpointer.asynchronous=False", *overrides],
    )
    cfg.train.hooks = OmegaConf.create(list(hooks), flags={"allow_objects": True})
    return cfg
