"""Weight decay by iteration, also of a run that goes on from a checkpoint."""

import copy

import torch
from detectron2.engine.train_loop import TrainerBase
from torch import nn

from detectron2_ext.engine.hooks.weight_decay import ScheduleWeightDecay
from detectron2_ext.engine.optimization import WarmupCosine


class CountingTrainer(TrainerBase):
    """Notes the weight decays that each step would use."""

    def __init__(self):
        super().__init__()
        groups = [{"params": [nn.Parameter(torch.ones(2))], "weight_decay": decay} for decay in (0.0, 0.04, 0.1)]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.5)
        self.register_hooks([ScheduleWeightDecay(self.optimizer, WarmupCosine(5, end=10.0))])
        self.used = []

    def run_step(self):
        self.used.append([group["weight_decay"] for group in self.optimizer.param_groups])


def test_groups_with_weight_decay_follow_the_schedule():
    trainer = CountingTrainer()
    trainer.train(0, 5)
    factors = [WarmupCosine(5, end=10.0).at(iteration) for iteration in range(5)]
    assert factors[0] == 1
    assert factors[4] > 9
    assert trainer.used == [[0.0, 0.04 * factor, 0.1 * factor] for factor in factors]


def test_resumed_run_goes_on_where_it_stopped():
    whole, first, second = CountingTrainer(), CountingTrainer(), CountingTrainer()
    whole.train(0, 5)
    first.train(0, 3)  # another max_iter: only the state of the optimizer matters
    second.optimizer.load_state_dict(copy.deepcopy(first.optimizer.state_dict()))
    assert second.optimizer.param_groups[1]["weight_decay"] > 0.04
    second.train(3, 5)
    assert second.used == whole.used[3:]
