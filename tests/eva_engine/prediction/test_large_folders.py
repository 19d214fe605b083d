"""Large folders: listing one does not touch each of its files, and a long run needs no more memory than a short one."""

import os
import weakref
from collections.abc import Sequence
from pathlib import Path

import pytest

from eva_engine.prediction import FileTask, Input, list_inputs, predict_files
from eva_engine.prediction.predictor import Predictor


def test_files_of_a_folder_are_not_resolved_or_opened_one_by_one(tmp_path, monkeypatch):
    for number in range(300):
        (tmp_path / f"{number:03}.jpg").touch()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "000.jpg")
    calls: list[str] = []
    for module, name in ((os, "stat"), (os, "lstat"), (os.path, "realpath"), (Path, "stat"), (Path, "resolve")):
        original = getattr(module, name)

        def count(*args, original=original, **keywords):
            calls.append(str(args[0]))
            return original(*args, **keywords)

        monkeypatch.setattr(module, name, count)
    found = list_inputs([tmp_path], tmp_path / "out")
    assert [item.path.name for item in found.inputs] == [f"{number:03}.jpg" for number in range(300)]
    touched = [call for call in calls if call.endswith(".jpg")]
    assert touched == [] or {Path(call).name for call in touched} <= {"link.jpg", "000.jpg"}
    assert len(calls) < 60


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    (tmp_path / "in" / "locked").mkdir(parents=True)
    (tmp_path / "in" / "a.jpg").touch()
    scandir = os.scandir

    def refuse(folder):
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    found = list_inputs([tmp_path / "in"], tmp_path / "out", recursive=True)
    assert [item.path.name for item in found.inputs] == ["a.jpg"]
    assert found.unusable == [f"{tmp_path / 'in/locked'}: the folder cannot be listed (Permission denied)"]


@pytest.mark.parametrize("output", [None, "out"])
def test_an_output_is_optional(tmp_path, output):
    (tmp_path / "a.jpg").touch()
    assert len(list_inputs([tmp_path], output).inputs) == 1


class Sheet:
    """Stands for a photo or a result, of which only a few may be in memory."""


class Sheets(Predictor[Sheet, Sheet]):
    def __init__(self, living: weakref.WeakSet) -> None:
        self.living = living

    def make(self) -> Sheet:
        sheet = Sheet()
        self.living.add(sheet)
        return sheet

    def read(self, item: Input) -> Sheet:  # noqa: ARG002
        return self.make()

    def predict(self, samples: Sequence[Sheet]) -> list[Sheet]:
        return [self.make() for _ in samples]


class CountSheets(FileTask):
    def __init__(self, living: weakref.WeakSet) -> None:
        super().__init__(Sheets(living))
        self.num_alive: list[int] = []

    def write(self, item: Input, result: Sheet) -> None:  # noqa: ARG002
        self.num_alive.append(len(self.predictor.living))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_long_run_keeps_a_few_photos_and_results_only(tmp_path, batch_size):
    for number in range(1000):
        (tmp_path / f"{number}.jpg").touch()
    task = CountSheets(weakref.WeakSet())
    task.predictor.batch_size = batch_size
    predict_files(task, list_inputs([tmp_path], tmp_path / "out").inputs, tmp_path / "out")
    assert len(task.num_alive) == 1000
    # The batch of the model with its results, the one that is read, and results that wait to be written.
    assert max(task.num_alive) <= 4 * batch_size + 8
