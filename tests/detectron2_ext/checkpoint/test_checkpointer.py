import argparse
import logging

import pytest
import torch
from detectron2.engine import hooks
from tiny_models import TinyDetector, pretraining_state, random_state
from torch import nn

from detectron2_ext.checkpoint import Checkpointer
from eva_backbone.errors import InputError


class Run:
    """A model with an optimizer that has state, as a training tool has them."""

    def __init__(self, folder, model=None) -> None:
        torch.manual_seed(len(str(folder)))
        self.model = model or TinyDetector()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.1)
        self.checkpointer = Checkpointer(self.model, str(folder), optimizer=self.optimizer)

    def step(self) -> None:
        self.optimizer.zero_grad()
        sum((parameter**2).sum() for parameter in self.model.parameters()).backward()
        self.optimizer.step()

    def state(self) -> list[torch.Tensor]:
        moments = [entry["exp_avg"] for entry in self.optimizer.state.values()]
        return [*self.model.state_dict().values(), *moments]


def test_resumed_run_goes_on_as_if_never_stopped(tmp_path):
    first = Run(tmp_path)
    first.step()
    first.checkpointer.save("model_0000001", iteration=1)
    content = (tmp_path / "model_0000001.pth").read_bytes()
    second = Run(tmp_path)
    assert second.checkpointer.resume_or_load("unused.pth", resume=True) == {"iteration": 1}
    for run in (first, second):
        run.step()
    for expected, value in zip(first.state(), second.state(), strict=True):
        assert torch.equal(expected, value)
    assert (tmp_path / "model_0000001.pth").read_bytes() == content


def test_initial_weights_restore_no_optimizer(tmp_path):
    first = Run(tmp_path / "a")
    first.step()
    (tmp_path / "a").mkdir()
    first.checkpointer.save("model")
    second = Run(tmp_path / "b")
    second.checkpointer.resume_or_load(str(tmp_path / "a" / "model.pth"), resume=True)
    assert torch.equal(second.model.backbone.simfp_4.weight, first.model.backbone.simfp_4.weight)
    assert not second.optimizer.state


def test_initial_weights_may_lack_entries(tmp_path):
    torch.save(pretraining_state(), tmp_path / "eva_psz14to16.pt")
    run = Run(tmp_path / "run")
    assert run.checkpointer.resume_or_load(str(tmp_path / "eva_psz14to16.pt")) == {}
    assert torch.equal(run.model.backbone.net.pos_embed, pretraining_state()["pos_embed"])


def test_no_weights(tmp_path):
    assert Run(tmp_path).checkpointer.resume_or_load("") == {}


class Zoo:
    """Stands for Detectron2's path manager, which downloads."""

    def __init__(self, folder) -> None:
        self.folder = folder

    def get_local_path(self, address: str) -> str:
        return address.replace("detectron2://", f"{self.folder}/")


def test_address_with_a_query(tmp_path):
    torch.save(random_state(TinyDetector()), tmp_path / "w.pth")
    run = Run(tmp_path / "run")
    run.checkpointer.path_manager = Zoo(tmp_path)
    run.checkpointer.load("detectron2://w.pth?matching_heuristics=True")
    assert torch.equal(run.model.backbone.net.pos_embed, random_state(TinyDetector())["backbone.net.pos_embed"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": None}, "no entry 'optimizer'"),
        ({"optimizer": {"state": {}, "param_groups": []}}, "entry 'optimizer' does not fit this run"),
        ({"model": random_state(TinyDetector(num_classes=7))}, "4 skipped.*cannot be resumed"),
        ({"model": random_state(TinyDetector(side=9))}, "4 resized.*cannot be resumed"),
        ({"model": random_state(TinyDetector(mask_head=False))}, "2 missing.*cannot be resumed"),
        ({"model": random_state(TinyDetector()) | {"more": torch.ones(1)}}, "1 unused.*cannot be resumed"),
    ],
)
def test_resuming_from_a_file_that_does_not_fit(change, message, tmp_path):
    Run(tmp_path).checkpointer.save("model")
    content = torch.load(tmp_path / "model.pth") | change
    torch.save({key: value for key, value in content.items() if value is not None}, tmp_path / "model.pth")
    with pytest.raises(InputError, match=message) as caught:
        Run(tmp_path).checkpointer.resume_or_load("", resume=True)
    assert str(tmp_path / "model.pth") in str(caught.value)


def test_last_checkpoint_that_is_gone(tmp_path):
    Run(tmp_path).checkpointer.save("model")
    (tmp_path / "model.pth").unlink()
    with pytest.raises(InputError, match=r"model\.pth does not exist"):
        Run(tmp_path).checkpointer.resume_or_load("", resume=True)


class Interrupted:
    def state_dict(self):
        return {"x": Unpicklable()}


class Unpicklable:
    def __reduce__(self):
        raise KeyboardInterrupt


def test_interrupted_save_leaves_the_earlier_one(tmp_path):
    run = Run(tmp_path)
    run.checkpointer.save("model", iteration=1)
    content = (tmp_path / "model.pth").read_bytes()
    run.checkpointer.add_checkpointable("broken", Interrupted())
    for name in ("model", "later"):
        with pytest.raises(KeyboardInterrupt):
            run.checkpointer.save(name, iteration=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last_checkpoint", "model.pth"]
    assert (tmp_path / "model.pth").read_bytes() == content
    assert (tmp_path / "last_checkpoint").read_text() == "model.pth"


def test_saving_what_will_be_refused_is_reported(tmp_path, caplog):
    with caplog.at_level(logging.ERROR):
        Run(tmp_path).checkpointer.save("model", args=argparse.Namespace(a=1))
    assert "argparse.Namespace" in caplog.text


def test_works_in_detectron2_hooks(tmp_path):
    run = Run(tmp_path)
    hook = hooks.PeriodicCheckpointer(run.checkpointer, period=1, max_iter=5, max_to_keep=2)
    for iteration in range(4):
        hook.step(iteration)
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["model_0000002.pth", "model_0000003.pth"]
    assert Run(tmp_path).checkpointer.resume_or_load("")["iteration"] == 3


def test_only_the_main_process_writes(tmp_path):
    Checkpointer(nn.Linear(2, 2), str(tmp_path), save_to_disk=False).save("model")
    assert not list(tmp_path.iterdir())
