"""Behaviour of all tasks: order, batches, failures, interruptions, and an output that cannot be written."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from eva_backbone.errors import InputError
from eva_engine.prediction import FileTask, Input, list_inputs, predict_files
from eva_engine.prediction.json_text import json_lines


class Echo(FileTask[str]):
    """Writes the content of text files with image suffixes; some contents raise errors."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.batches: list[list[str]] = []

    def open(self, stack: ExitStack) -> None:
        self.write = stack.enter_context(json_lines(self.folder / "lines.jsonl"))

    def read(self, item: Input) -> str:
        text = item.path.read_text()
        if text == "unreadable":
            raise InputError("it is unreadable")
        return text

    def predict(self, batch: Sequence[tuple[Input, str]]) -> None:
        texts = [text for _, text in batch]
        self.batches.append(texts)
        for error in (KeyboardInterrupt(), InputError("not to be predicted"), OSError(28, "No space left on device")):
            if type(error).__name__ in texts:
                raise error
        for item, text in batch:
            self.write([str(item.path), text])
            self.counts["letters"] += len(text)


def make(folder: Path, *contents: str) -> list[Input]:
    (folder / "in").mkdir()
    for number, content in enumerate(contents):
        (folder / "in" / f"{number}.png").write_text(content)
    return list_inputs([folder / "in"], folder / "out").inputs


def written(folder: Path) -> list[str]:
    return [json.loads(line)[1] for line in (folder / "out/lines.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("batch_size", "batches"),
    [(1, [["a"], ["bc"], ["d"]]), (2, [["a"], ["bc", "d"]]), (16, [["a", "bc", "d"]])],
)
def test_order_batches_and_counts(tmp_path, batch_size, batches):
    reported: list[str] = []
    task = Echo(batch_size)
    done = predict_files(task, make(tmp_path, "a", "unreadable", "bc", "d"), tmp_path / "out", reported.append)
    assert task.batches == batches
    assert written(tmp_path) == ["a", "bc", "d"]
    assert list(done.counts.items()) == [("images", 3), ("letters", 4)]
    assert done.failures == [f"{tmp_path / 'in/1.png'}: it is unreadable"]
    assert reported == [f"failed: {done.failures[0]}"]


def test_an_error_in_prediction_fails_the_whole_batch(tmp_path):
    done = predict_files(Echo(2), make(tmp_path, "a", "b", "c", "InputError", "e"), tmp_path / "out", lambda _: None)
    assert written(tmp_path) == ["a", "b", "e"]
    assert done.counts["images"] == 3
    assert done.failures == [f"{tmp_path / 'in'}/{n}.png: not to be predicted" for n in (2, 3)]


def test_a_stopped_run_keeps_what_is_finished(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        predict_files(Echo(2), make(tmp_path, "a", "b", "c", "KeyboardInterrupt", "e"), tmp_path / "out")
    assert written(tmp_path) == ["a", "b"]


def test_results_that_cannot_be_written_are_named_and_the_others_are_kept(tmp_path):
    done = predict_files(Echo(2), make(tmp_path, "a", "b", "c", "OSError", "e"), tmp_path / "out", lambda _: None)
    assert written(tmp_path) == ["a", "b", "e"]
    reason = "the results cannot be written (No space left on device)."
    assert done.failures == [f"{tmp_path / 'in'}/{n}.png: {reason}" for n in (2, 3)]


def test_no_input_and_an_older_result(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/lines.jsonl").write_text("old")
    assert dict(predict_files(Echo(1), [], tmp_path / "out").counts) == {"images": 0}
    assert written(tmp_path) == []


def test_names_that_are_no_text(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        path.write_text("a")
    except OSError:
        pytest.skip("the file system takes text only")
    predict_files(Echo(1), list_inputs([path], tmp_path / "out").inputs, tmp_path / "out")
    line = (tmp_path / "out/lines.jsonl").read_text(encoding="utf-8")
    assert json.loads(line) == [f"{tmp_path}/caf?.png", "a"]


def test_lines_are_there_as_soon_as_they_are_written(tmp_path):
    with json_lines(tmp_path / "lines.jsonl") as write:
        write({"first": 1})
        assert (tmp_path / "lines.jsonl").read_text() == '{"first": 1}\n'
        with pytest.raises(ValueError, match="not JSON compliant"):
            write(float("nan"))
