"""Values of the optimizer's groups by iteration, also in a resumed run."""

import pytest
import torch
from detectron2.engine.train_loop import TrainerBase
from torch import nn

from eva_engine.training.hooks import ScheduleHook
from eva_engine.training.optimization import WarmupCosine


class CountingTrainer(TrainerBase):
    """Records the values that each step would use."""

    def __init__(self, key):
        super().__init__()
        self.key = key
        groups = [{"params": [nn.Parameter(torch.ones(2))], key: value} for value in (0.0, 0.04, 0.1)]
        self.optimizer = torch.optim.AdamW(groups)
        self.register_hooks([ScheduleHook(key, WarmupCosine(5, end=10.0))])
        self.used = []

    def run_step(self):
        self.used.append([group[self.key] for group in self.optimizer.param_groups])
        assert self.storage.latest()[self.key][0] == self.used[-1][-1]


@pytest.mark.parametrize("key", ["lr", "weight_decay"])
def test_groups_follow_the_schedule(key):
    trainer = CountingTrainer(key)
    trainer.train(0, 5)
    factors = [WarmupCosine(5, end=10.0).at(iteration) for iteration in range(5)]
    assert factors[0] == 1
    assert factors[4] > 9
    assert trainer.used == [[0.0, 0.04 * factor, 0.1 * factor] for factor in factors]
    resumed = CountingTrainer(key)
    resumed.train(3, 5)
    assert resumed.used == trainer.used[3:]
