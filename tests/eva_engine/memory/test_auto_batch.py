"""The largest batch that fits a memory."""

from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.memory.auto_batch import largest_batch, settle_batch
from eva_engine.memory.device_memory import free_memory, reserve


class Planner:
    """10 bytes, and 3 for each sample of a process."""

    def __init__(self, num_ranks=1):
        self.num_ranks, self.planned = num_ranks, []

    def plan(self, cfg):
        self.planned.append(cfg.dataloader.train.total_batch_size)
        return SimpleNamespace(peak=10 + 3 * self.planned[-1] // self.num_ranks // cfg.train.accumulation_steps)


def recipe(auto_batch, batch=1, accumulation_steps=1):
    train = {"auto_batch": auto_batch, "accumulation_steps": accumulation_steps, "output_dir": "nowhere"}
    return OmegaConf.create({"train": train, "dataloader": {"train": {"total_batch_size": batch}}})


@pytest.mark.parametrize("limit", range(13, 80))
def test_largest_of_all_that_fit(limit):
    assert largest_batch(recipe(64), Planner(), limit) == (limit - 10) // 3


def test_few_plans_and_not_above_the_limit_of_the_user():
    planner = Planner()
    assert largest_batch(recipe(48), planner, 10**6) == 48
    assert len(planner.planned) <= 12


def test_multiples_of_processes_and_micro_batches_and_pairs():
    assert largest_batch(recipe(64, accumulation_steps=2), Planner(num_ranks=3), 10 + 3 * 5) == 30
    assert largest_batch(recipe(64, batch=8), Planner(), 10 + 3 * 5) == 4  # mixup takes pairs
    with pytest.raises(InputError, match=r"auto_batch=64 finds no batch: the smallest one has 6 samples"):
        largest_batch(recipe(64, accumulation_steps=2), Planner(num_ranks=3), 12)
    with pytest.raises(InputError, match=r"auto_batch=4 finds no batch"):
        largest_batch(recipe(4, accumulation_steps=2), Planner(num_ranks=3), 10**6)


def test_a_resumed_run_keeps_its_batch(tmp_path):
    cfg = recipe(64)
    cfg.train.output_dir = str(tmp_path)
    (tmp_path / "config.yaml").write_text("dataloader:\n  train: {total_batch_size: 24}\n")
    settle_batch(cfg, resume=True)
    assert cfg.dataloader.train.total_batch_size == 24


def test_memory_of_this_machine_is_divided_among_its_processes():
    assert 0 < free_memory("cpu", 4) < free_memory("cpu", 2)
    assert (reserve("cpu"), reserve("cuda:0")) == (0, 10**9)
