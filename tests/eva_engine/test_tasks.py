"""The registry of tasks, and packages that register something broken."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from detectron2_ext.task import TASK as DETECTION
from eva_backbone.errors import InputError
from eva_engine import tasks
from eva_engine.tasks import all_tasks, register_task, task_of_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def undo_registration(monkeypatch):
    """Undo what a test registers."""
    monkeypatch.setattr(tasks, "_registered", [])


def test_installed_task_is_not_registered_again():
    before = all_tasks()
    register_task(DETECTION)
    assert all_tasks() == before


def test_two_tasks_with_the_same_package_are_refused():
    register_task(replace(DETECTION, name="other"))
    with pytest.raises(InputError, match="detection and other both have the package detectron2_ext"):
        task_of_model(object())


@pytest.mark.parametrize("reference", ["no_such_module:Task", "json.no_such_module:Task", "json:no_such_name"])
def test_reference_to_something_that_does_not_exist(reference):
    with pytest.raises(InputError, match=f"the task detection gives {reference} as its file_task, which does not"):
        replace(DETECTION, file_task=reference).load("file_task")


def test_module_that_needs_a_missing_package_is_not_blamed_on_the_task(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        replace(DETECTION, file_task="needs_more:FileTask").load("file_task")


@pytest.mark.parametrize(
    ("group", "value", "reason"),
    [
        ("tasks", "no_such_module:TASK", "cannot be loaded (ModuleNotFoundError: No module named 'no_such_module')"),
        ("tasks", "json:TASK", "cannot be loaded (AttributeError: "),
        ("tasks", "json:dumps", "is not a Task"),
        ("verbs", "json:dumps", "is not a Mapping"),
    ],
)
def test_broken_entry_point_is_one_sentence_that_names_its_package(tmp_path, group, value, reason):
    folder = tmp_path / "broken-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[eva_vision.{group}]\nspare = {value}\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    command = [sys.executable, "-m", "tools", "--help"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: the entry point spare = {value} of broken {reason}")
    assert ended.stderr.count("\n") == 1
