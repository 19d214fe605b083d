"""The writers of a recipe, Weights & Biases among them."""

import errno
import importlib
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
from detectron2.utils.events import EventStorage
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.training.monitoring import MetricsFile, ProgressLine, TensorBoardEvents, build_writers, check_writers


def recipe(output_dir, project=""):
    train = {"output_dir": str(output_dir), "max_iter": 10, "device": "cpu", "wandb_project": project}
    return OmegaConf.create({"train": train})


@pytest.fixture
def wandb(monkeypatch):
    """Stands for the package, which the environment does not have."""
    module = ModuleType("wandb")
    module.__spec__ = importlib.machinery.ModuleSpec("wandb", None)
    module.starts, module.logged, module.finished = [], [], 0

    def init(**options):
        module.starts.append(options)
        return SimpleNamespace(
            id=options["id"] or f"id{len(module.starts)}",
            log=lambda values, step: module.logged.append((step, values)),
            finish=lambda: setattr(module, "finished", module.finished + 1),
        )

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    yield module
    sys.modules.pop("eva_engine.training.monitoring.wandb_writer", None)


def test_writers_of_a_run(tmp_path):
    writers = build_writers(recipe(tmp_path), start_iter=0)
    assert [type(writer) for writer in writers] == [ProgressLine, MetricsFile, TensorBoardEvents]
    with EventStorage(0) as storage:
        storage.put_scalars(total_loss=1.0, data_time=0.1)
        for writer in writers:
            writer.write()
            writer.close()
    assert "peak_memory_gib" in json.loads((tmp_path / "metrics.json").read_text())
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert "eva_engine.training.monitoring.wandb_writer" not in sys.modules


def test_a_run_continues_without_tensorboard_events_that_cannot_be_written(tmp_path, caplog, monkeypatch):
    writer = TensorBoardEvents(str(tmp_path))
    with EventStorage(0) as storage:
        storage.put_scalar("total_loss", 1.0)
        writer.write()
        full = OSError(errno.EFBIG, "File too large")
        monkeypatch.setattr(writer._writer, "flush", lambda: (_ for _ in ()).throw(full))
        for storage.iter in (1, 2):
            storage.put_scalar("total_loss", 2.0)
            writer.write()
        writer.close()
    sentences = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(sentences) == 1
    assert "end before iteration 1, because they cannot be written (File too large)" in sentences[0]


def test_wandb_goes_on_with_the_same_run(tmp_path, wandb):
    for start_iter in (0, 5):
        *_, writer = build_writers(recipe(tmp_path, "eva"), start_iter)
        with EventStorage(start_iter) as storage:
            storage.put_scalar("total_loss", 2.0)
            writer.write()
        writer.close()
    assert [(start["project"], start["id"], start["resume"]) for start in wandb.starts] == [
        ("eva", None, "allow"),
        ("eva", "id1", "allow"),
    ]
    assert wandb.starts[0]["config"]["train"]["max_iter"] == 10
    assert wandb.logged == [(0, {"total_loss": 2.0}), (5, {"total_loss": 2.0})]
    assert wandb.finished == 2


def test_a_new_run_in_the_same_folder_is_a_new_one_at_wandb(tmp_path, wandb):
    for _ in range(2):
        build_writers(recipe(tmp_path, "eva"), start_iter=0)
    assert [start["id"] for start in wandb.starts] == [None, None]


def test_wandb_that_is_not_installed_is_told_early(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"train\.wandb_project is 'eva'.*pip install wandb"):
        check_writers(recipe(tmp_path, "eva"))
    check_writers(recipe(tmp_path))
