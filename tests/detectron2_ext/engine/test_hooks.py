"""Runs that stop early keep what they have done."""

import pytest
import torch
from detectron2.engine import SimpleTrainer, hooks
from fvcore.common.param_scheduler import LinearParamScheduler
from torch import nn

from detectron2_ext.checkpoint import Checkpointer, read_file
from detectron2_ext.engine.hooks import SaveUnfinished


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, data):
        if isinstance(data, type):
            raise data
        return {"loss": -self.weight * data}


def make_trainer(data, folder):
    model = Model()
    trainer = SimpleTrainer(model, data, torch.optim.SGD(model.parameters(), lr=1.0))
    checkpointer = Checkpointer(model, str(folder), trainer=trainer)
    scheduler = hooks.LRScheduler(scheduler=LinearParamScheduler(1.0, 0.0))
    trainer.register_hooks([scheduler, SaveUnfinished(checkpointer)])
    return trainer, checkpointer


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_run_is_saved_and_continues_as_if_it_had_not_been(error, tmp_path):
    whole, _ = make_trainer([1.0] * 6, tmp_path / "whole")
    whole.train(0, 6)

    (tmp_path / "part").mkdir()
    trainer, _ = make_trainer([1.0, 1.0, 1.0, error], tmp_path / "part")
    with pytest.raises(error):
        trainer.train(0, 6)
    saved = read_file(tmp_path / "part" / (tmp_path / "part" / "last_checkpoint").read_text())
    assert saved["iteration"] == saved["trainer"]["iteration"] == 2

    trainer, checkpointer = make_trainer([1.0] * 3, tmp_path / "part")
    checkpointer.resume_or_load("", resume=True)
    assert trainer.iter == 2
    trainer.train(trainer.iter + 1, 6)
    assert trainer.model.weight.item() == pytest.approx(whole.model.weight.item())


@pytest.mark.parametrize("data", [[1.0, 1.0, 1.0], [1.0, float("nan"), 1.0], [RuntimeError]])
def test_finished_spoilt_or_unstarted_run_is_not_saved(data, tmp_path):
    trainer, _ = make_trainer(data, tmp_path)
    try:
        trainer.train(0, 3)
    except (FloatingPointError, RuntimeError):
        assert trainer.iter < 3
    assert list(tmp_path.iterdir()) == []
