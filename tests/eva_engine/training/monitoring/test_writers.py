"""The writers of a recipe, Weights & Biases, trackio and MLflow among them."""

import errno
import importlib
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from detectron2.utils.events import EventStorage
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.training.monitoring import MetricsFile, ProgressLine, TensorBoardEvents, build_writers, check_writers


def recipe(output_dir, **projects):
    train = {"output_dir": str(output_dir), "max_iter": 10, "device": "cpu", "hooks": [], **projects}
    return OmegaConf.create({"train": train})


def log(writer, **values):
    with EventStorage(values.pop("iteration")) as storage:
        storage.put_scalars(**values)
        writer.write()
    writer.close()


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
    return module


@pytest.fixture
def mlflow(monkeypatch, tmp_path):
    """MLflow, or where it is not installed an object with the methods of its client that are used."""
    if importlib.util.find_spec("mlflow") is not None:
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # without it, version 3 wants a database
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file:{tmp_path}/mlruns")
        return import_module("mlflow")
    runs = {}

    class Client:
        def get_experiment_by_name(self, _name):
            return SimpleNamespace(experiment_id="1") if runs else None

        def create_experiment(self, _name):
            return "1"

        def create_run(self, _experiment_id, run_name):
            run = SimpleNamespace(run_id=f"{run_name}{len(runs)}", status="RUNNING")
            runs[run.run_id] = SimpleNamespace(info=run, data=SimpleNamespace(params={}), metrics={})
            return runs[run.run_id]

        def get_run(self, run_id):
            return runs[run_id]

        def log_param(self, run_id, name, value):
            runs[run_id].data.params[name] = value

        def log_batch(self, run_id, metrics):
            for metric in metrics:
                assert not set("%<>&()") & set(metric.key)
                runs[run_id].metrics.setdefault(metric.key, []).append(metric)

        def get_metric_history(self, run_id, key):
            return runs[run_id].metrics[key]

        def update_run(self, run_id, status):
            runs[run_id].info.status = status

        def set_terminated(self, run_id):
            runs[run_id].info.status = "FINISHED"

    package, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    package.__spec__ = importlib.machinery.ModuleSpec("mlflow", None)
    package.MlflowClient = Client
    entities.Metric = lambda key, value, _time, step: SimpleNamespace(key=key, value=value, step=step)
    monkeypatch.setitem(sys.modules, "mlflow", package)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    return package


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
    assert "wandb" not in sys.modules


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


def test_wandb_continues_the_same_run(tmp_path, wandb):
    for start_iter in (0, 5):
        *_, writer = build_writers(recipe(tmp_path, wandb_project="eva"), start_iter)
        log(writer, iteration=start_iter, total_loss=2.0)
    assert [(start["project"], start["id"], start["resume"]) for start in wandb.starts] == [
        ("eva", None, "allow"),
        ("eva", "id1", "allow"),
    ]
    assert wandb.starts[0]["config"]["train"]["max_iter"] == 10
    assert wandb.logged == [(0, {"total_loss": 2.0}), (5, {"total_loss": 2.0})]
    assert wandb.finished == 2


def test_a_new_run_in_the_same_folder_is_a_new_one_at_wandb(tmp_path, wandb):
    for _ in range(2):
        build_writers(recipe(tmp_path, wandb_project="eva"), start_iter=0)
    assert [start["id"] for start in wandb.starts] == [None, None]


def test_trackio_continues_the_same_run(tmp_path):
    pytest.importorskip("trackio")
    calls = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import trackio
from test_writers import build_writers, log, recipe
for start_iter in (0, 5):
    *_, writer = build_writers(recipe({str(tmp_path / "mine")!r}, trackio_project="eva"), start_iter)
    log(writer, iteration=start_iter, total_loss=2.0 + start_iter)
runs = trackio.Api().runs("eva")
print(len(runs), [run.name.startswith("mine-") for run in runs])
from trackio.sqlite_storage import SQLiteStorage
print([(entry["step"], entry["total_loss"]) for entry in SQLiteStorage.get_logs("eva", runs[0].name)])
"""
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "ignore", "-c", calls]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines()[-2:] == ["1 [True]", "[(0, 2.0), (5, 7.0)]"], ended.stdout + ended.stderr


def test_mlflow_continues_the_same_run(tmp_path, mlflow):
    for start_iter in (0, 5):
        *_, writer = build_writers(recipe(tmp_path / "mine", mlflow_experiment="eva"), start_iter)
        log(writer, iteration=start_iter, total_loss=2.0 + start_iter, **{"bbox/AP-a & (b)": 1.0})
    client, run_id = mlflow.MlflowClient(), (tmp_path / "mine/mlflow_run_id").read_text()
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["train/max_iter"] == "10"
    assert [(m.step, m.value) for m in client.get_metric_history(run_id, "total_loss")] == [(0, 2.0), (5, 7.0)]
    assert len(client.get_metric_history(run_id, "bbox/AP-a _ _b_")) == 2


@pytest.mark.usefixtures("wandb")
def test_training_continues_if_a_tracker_fails(tmp_path, caplog):
    *_, writer = build_writers(recipe(tmp_path, wandb_project="eva"), start_iter=0)
    writer._log = lambda *_: (_ for _ in ()).throw(ConnectionError("no network"))
    for iteration in range(2):
        log(writer, iteration=iteration, total_loss=2.0)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["Nothing more is logged to wandb (ConnectionError: no network); metrics.json continues."]


def test_a_tracker_that_cannot_start_is_one_sentence(tmp_path, wandb):
    wandb.init = lambda **_: (_ for _ in ()).throw(PermissionError("no key"))
    with pytest.raises(InputError, match=r"wandb cannot start a run for eva \(PermissionError: no key\); correct its"):
        build_writers(recipe(tmp_path, wandb_project="eva"), start_iter=0)


@pytest.mark.parametrize(
    ("key", "extra"), [("wandb_project", "wandb"), ("trackio_project", "trackio"), ("mlflow_experiment", "mlflow")]
)
def test_a_tracker_that_is_not_installed_is_reported_early(key, extra, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=rf"train\.{key} is 'eva'.*pip install '\.\[{extra}\]'"):
        check_writers(recipe(tmp_path, **{key: "eva"}))
    check_writers(recipe(tmp_path))
