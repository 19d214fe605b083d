"""A run that needs more memory than the machine has stops before the model is built, with the changes that fit."""

import logging
import re

import pytest
from small_recipe import small_recipe

from eva_backbone.errors import InputError
from eva_engine.config import load_config
from eva_engine.config.override_keys import apply_overrides
from eva_engine.memory import Advice, MemoryPlanner, device_memory, memory_check

TINY = "projects/ViTDet/configs/custom/tiny_cpu.py"


@pytest.fixture
def machine(monkeypatch):
    """Let the machine have so many free bytes, and plan small runs as well."""

    def set_free(num_bytes):
        monkeypatch.setattr(device_memory, "free_ram", lambda: num_bytes)
        monkeypatch.setattr(memory_check, "_SMALL_STATE", 0)

    return set_free


def planned(cfg, caplog):
    with caplog.at_level(logging.INFO, logger=memory_check.__name__):
        memory_check.check_memory(cfg)
    (line,) = [record.getMessage() for record in caplog.records if "Memory plan" in record.getMessage()]
    return float(re.search(r"Memory plan: ([\d.]+) GB", line)[1])


def test_a_run_that_fits_goes_on(machine, caplog):
    machine(10**12)
    assert 0 < planned(small_recipe("train.device=cpu"), caplog) < 5


def test_a_run_that_does_not_fit_stops_with_the_changes_that_fit(machine, caplog):
    cfg = small_recipe("train.device=cpu", "dataloader.train.total_batch_size=8")
    machine(10**12)
    peak = planned(cfg, caplog)
    machine(10**9 + round(0.9 * peak * 10**9))
    with pytest.raises(
        InputError, match=r"a training step needs [\d.]+ GB, but [\d.]+ GB of the memory \(RAM\)"
    ) as stop:
        memory_check.check_memory(cfg)
    assert "train.check_memory=False" in str(stop.value)
    changes = re.search(r"this fits: (.+?)(, or instead|\. To try)", str(stop.value))[1]
    memory_check.check_memory(apply_overrides(cfg, changes.split()))


def test_no_change_is_enough_for_a_tiny_machine(machine, monkeypatch):
    monkeypatch.setattr(memory_check, "advise", lambda *_: Advice(False, (), ()))
    machine(10**9 + 1000)
    with pytest.raises(InputError, match=r"no change makes it fit; use a smaller recipe"):
        memory_check.check_memory(small_recipe("train.device=cpu"))


def test_a_small_run_is_not_planned(monkeypatch):
    monkeypatch.setattr(memory_check, "_QuickPlanner", None)  # calling it would be an error
    memory_check.check_memory(load_config(TINY))


def test_a_model_that_cannot_be_planned_is_not_stopped(machine, caplog):
    machine(10**9)
    cfg = small_recipe("train.device=cpu")
    cfg.model = {"_target_": "torch.nn.Identity"}
    with caplog.at_level(logging.INFO, logger=memory_check.__name__):
        memory_check.check_memory(cfg)
    assert "not known in advance" in caplog.text


def test_many_samples_are_extrapolated_from_two(machine, caplog):
    machine(10**12)
    cfg = small_recipe("train.device=cpu", "dataloader.train.total_batch_size=6")
    measured = MemoryPlanner().plan(cfg).peak / 1e9
    assert planned(cfg, caplog) == pytest.approx(measured, rel=0.05, abs=0.06)  # logged with one decimal
    assert "6 image(s)" not in caplog.text
