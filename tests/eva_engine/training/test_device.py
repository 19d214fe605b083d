"""Device and number of processes of a run."""

import pytest
import torch
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.config import TRAIN_SETTINGS
from eva_engine.training import device as training_device
from eva_engine.training.device import processes_per_machine, resolve_device


@pytest.mark.parametrize(
    ("num_gpus", "device", "present", "processes"),
    [(8, "cuda", 0, 1), (1, "cuda", 2, 1), (2, "cuda", 2, 2), (2, "cpu", 0, 2), (2, "cpu", 8, 2)],
)
def test_processes(num_gpus, device, present, processes, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: present)
    assert processes_per_machine(num_gpus, device) == processes


def test_more_gpus_than_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="this machine has 2"):
        processes_per_machine(8, "cuda")


@pytest.mark.parametrize(
    ("device", "dtype", "cuda", "expected"),
    [
        ("cuda", "float16", True, ("cuda", True)),
        ("cuda", "float16", False, ("cpu", False)),
        ("cuda", "bfloat16", False, ("cpu", False)),
        ("cpu", "float16", True, ("cpu", False)),
        ("cpu", "bfloat16", False, ("cpu", True)),
    ],
)
def test_unsupported_settings_are_replaced(device, dtype, cuda, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    cfg = OmegaConf.create({"train": {**TRAIN_SETTINGS, "device": device, "amp": {"enabled": True, "dtype": dtype}}})
    resolve_device(cfg)
    assert (cfg.train.device, cfg.train.amp.enabled) == expected


@pytest.mark.parametrize("has_instructions", [False, True])
def test_a_slow_type_on_the_processor_is_a_warning(has_instructions, monkeypatch, caplog):
    monkeypatch.setattr(training_device, "has_instructions", lambda *_: has_instructions)
    amp = {"enabled": True, "dtype": "bfloat16"}
    resolve_device(OmegaConf.create({"train": {**TRAIN_SETTINGS, "device": "cpu", "amp": amp}}))
    assert ("this processor has no instructions for bfloat16" in caplog.text) != has_instructions
