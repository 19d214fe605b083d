"""Behaviour of all tasks: order, batches, failures, interruptions, and an output that cannot be written."""

import json
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from eva_backbone.errors import InputError
from eva_engine.prediction import FileTask, Input, list_inputs, predict_files
from eva_engine.prediction.json_text import json_lines
from eva_engine.prediction.predictor import Predictor


class Texts(Predictor[str, str]):
    """Returns the content of text files with image suffixes; some contents raise errors."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []

    def read(self, item: Input) -> str:
        text = item.path.read_text()
        if text == "unreadable":
            raise InputError("it is unreadable")
        return text

    def predict(self, samples: Sequence[str]) -> list[str]:
        self.batches.append(list(samples))
        for error in (KeyboardInterrupt(), InputError("not to be predicted"), MemoryError()):
            if type(error).__name__ in samples:
                raise error
        return list(samples)


class Echo(FileTask):
    """Collects the texts of files in lines.jsonl; some cannot be written."""

    def __init__(self, batch_size: int = 1) -> None:
        super().__init__(Texts())
        self.predictor.batch_size = batch_size

    def open(self, stack: ExitStack) -> None:
        self.write_line = stack.enter_context(json_lines(self.folder / "lines.jsonl"))

    def write(self, item: Input, result: str) -> None:  # noqa: ARG002
        if result == "OSError":
            raise OSError(28, "No space left on device")
        if result == "slow":
            time.sleep(0.2)

    def collect(self, item: Input, result: str) -> None:
        self.write_line([str(item.path), result])
        self.counts["letters"] += len(result)


def make(folder: Path, *contents: str) -> list[Input]:
    (folder / "in").mkdir()
    for number, content in enumerate(contents):
        (folder / "in" / f"{number}.png").write_text(content)
    return list_inputs([folder / "in"], folder / "out").inputs


def written(folder: Path) -> list[str]:
    return [json.loads(line)[1] for line in (folder / "out/lines.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("batch_size", "batches"),
    [(1, [["a"], ["bc"], ["d"]]), (2, [["a", "bc"], ["d"]]), (16, [["a", "bc", "d"]])],
)
def test_order_batches_and_counts(tmp_path, batch_size, batches):
    reported: list[str] = []
    task = Echo(batch_size)
    inputs = make(tmp_path, "a", "unreadable", "bc", "d")
    done = predict_files(task, inputs, tmp_path / "out", reported.append)
    assert task.predictor.batches == batches
    assert written(tmp_path) == ["a", "bc", "d"]
    assert list(done.counts.items()) == [("images", 3), ("letters", 4)]
    assert done.failures == [f"{tmp_path / 'in/1.png'}: it is unreadable"]
    assert reported == [f"failed: {done.failures[0]}"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("InputError", "not to be predicted"),
        ("MemoryError", "there is not enough memory for it; resize it, or give another --device."),
    ],
)
def test_of_a_batch_that_fails_only_the_bad_image_is_lost(tmp_path, text, reason):
    task = Echo(2)
    done = predict_files(task, make(tmp_path, "a", "b", "c", text, "e"), tmp_path / "out", lambda _: None)
    assert written(tmp_path) == ["a", "b", "c", "e"]
    assert task.predictor.batches == [["a", "b"], ["c", text], ["c"], [text], ["e"]]
    assert done.counts["images"] == 4
    assert done.failures == [f"{tmp_path / 'in'}/3.png: {reason}"]


def test_a_stopped_run_keeps_what_is_finished(tmp_path):
    inputs = make(tmp_path, "slow", "b", "c", "KeyboardInterrupt", "e")
    with pytest.raises(KeyboardInterrupt):
        predict_files(Echo(2), inputs, tmp_path / "out")
    assert written(tmp_path) == ["slow", "b"]


def test_results_that_cannot_be_written_are_named_and_the_others_are_kept(tmp_path):
    inputs = make(tmp_path, "a", "b", "c", "OSError", "e")
    done = predict_files(Echo(2), inputs, tmp_path / "out", lambda _: None)
    assert written(tmp_path) == ["a", "b", "c", "e"]
    reason = "the results cannot be written (No space left on device)."
    assert done.failures == [f"{tmp_path / 'in'}/3.png: {reason}"]


def test_reading_the_model_and_writing_overlap_in_bounded_memory(tmp_path):
    """While the first result is written, later ones are computed, and only as many files are read as will be needed."""
    task, events = Echo(1), []
    for owner, name in ((task.predictor, "read"), (task.predictor, "predict"), (task, "write")):
        original = getattr(owner, name)

        def logged(*arguments, original=original, name=name):
            events.append(f"{name} begins")
            result = original(*arguments)
            events.append(f"{name} ends")
            return result

        setattr(owner, name, logged)
    predict_files(task, make(tmp_path, "slow", *"abcdefghijklmnop"), tmp_path / "out")
    during_write = events[events.index("write begins") : events.index("write ends")]
    assert "predict ends" in during_write
    assert events[: events.index("write ends")].count("read begins") <= 10


def test_no_input_and_an_older_result(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/lines.jsonl").write_text("old")
    assert dict(predict_files(Echo(), [], tmp_path / "out").counts) == {"images": 0}
    assert written(tmp_path) == []


def test_names_that_are_no_text(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    try:
        path.write_text("a")
    except OSError:
        pytest.skip("the file system takes text only")
    predict_files(Echo(), list_inputs([path], tmp_path / "out").inputs, tmp_path / "out")
    line = (tmp_path / "out/lines.jsonl").read_text(encoding="utf-8")
    assert json.loads(line) == [f"{tmp_path}/caf?.png", "a"]


def test_lines_are_there_as_soon_as_they_are_written(tmp_path):
    with json_lines(tmp_path / "lines.jsonl") as write:
        write({"first": 1})
        assert (tmp_path / "lines.jsonl").read_text() == '{"first": 1}\n'
        with pytest.raises(ValueError, match="not JSON compliant"):
            write(float("nan"))
