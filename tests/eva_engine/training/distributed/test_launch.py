"""Process groups: rendezvous, backend and device."""

import pytest
import torch
from detectron2.utils import comm

from eva_backbone.errors import InputError
from eva_engine.training.distributed.launch import _join, launch


@pytest.mark.parametrize(("device", "backend", "taken"), [("cpu", "gloo", []), ("cuda", "cpu:gloo,cuda:nccl", [1])])
def test_only_runs_on_gpus_use_one(device, backend, taken, monkeypatch):
    devices, backends = [], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", devices.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **_: backends.append(backend))
    monkeypatch.setattr(comm, "create_local_process_group", lambda _: None)
    monkeypatch.setattr(comm, "synchronize", lambda: None)
    _join(3, 4, 2, device, init_method="")
    assert devices == taken
    assert backends == [backend]


def test_a_free_port_is_found_on_a_single_machine_only():
    with pytest.raises(InputError, match="--dist-url auto works on a single machine"):
        launch(print, (), processes_per_machine=2, num_machines=2, dist_url="auto")
