"""A full disk, a limit on file sizes, and output folders that go away: no cut file, one sentence, status 1."""

import errno
import json
import logging
import os
import resource
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from detectron2.utils.events import EventStorage
from PIL import Image

from eva_backbone.errors import InputError
from eva_clip.prediction.contact_sheet import ContactSheets, make_thumbnail
from eva_clip.prediction.result import TextScoreResult
from eva_clip.prediction.task import _score_files
from eva_engine.checkpoint import RunCheckpoints
from eva_engine.commands.cli import run_command
from eva_engine.disk_space import OutputError
from eva_engine.output_files import writing_failure
from eva_engine.prediction import FileTask, list_inputs, predict_files
from eva_engine.prediction.images import save_image
from eva_engine.prediction.json_text import json_lines
from eva_engine.prediction.predictor import Predictor
from eva_engine.prediction.video import VideoWriter
from eva_engine.training.monitoring.metrics_file import MetricsFile
from eva_engine.training.run_log import start_log

NOISE = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)


def scores(path: str, image: np.ndarray | None = None) -> TextScoreResult:
    two = {"class_ids": np.arange(2), "scores": np.float32([1, 0]), "similarities": np.float32([1, 0])}
    return TextScoreResult(path=path, image=image, class_names=("a", "b"), **two)


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let the system refuse to write more than 20,000 bytes to a file, after it has written a part."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_images_are_complete_or_not_there(tmp_path):
    with pytest.raises(OSError, match="File too large"):
        save_image(NOISE, tmp_path / "a.jpg")
    sheets = ContactSheets(tmp_path, 1, 1)
    sheets.add(Path("a.png"), scores("a.png", make_thumbnail(NOISE)))
    with pytest.raises(OSError, match="File too large"):
        sheets.__exit__(None, None, None)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small_files")
def test_videos_raise(tmp_path):
    def write_video() -> None:
        with VideoWriter(tmp_path / "a.mp4", 300, 300, Fraction(25), Fraction(1, 25)) as writer:
            for _ in range(30):
                writer.write(NOISE, None)

    with pytest.raises(OSError, match="File too large"):
        write_video()


@pytest.mark.usefixtures("small_files")
def test_lines_are_complete_or_not_there(tmp_path):
    with json_lines(tmp_path / "a.jsonl") as write, _score_files(tmp_path, ("a", "b")) as write_scores:
        for text in ("a", "b" * 15_000):
            write(text)
            write_scores(scores(text))
        with pytest.raises(OSError, match="File too large"):
            write("c" * 15_000)
        with pytest.raises(OSError, match="File too large"):
            write_scores(scores("c" * 15_000))
        write("d")
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert [json.loads(line)[0] for line in lines] == ["a", "b", "d"]
    assert all(json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines())
    assert (tmp_path / "scores.csv").read_text().endswith(",1.0,0.0\n")


class Copies(Predictor):
    """Returns images as they are."""

    def read(self, item):
        return np.array(Image.open(item.path))

    def predict(self, samples):
        return list(samples)


class Painter(FileTask):
    """Writes images; `trouble` is called before the second one."""

    def __init__(self, trouble) -> None:
        super().__init__(Copies())
        self.trouble = trouble

    def write(self, item, result):
        if item.stem == "1":
            self.trouble()
        save_image(result, self.folder / f"{item.stem}.jpg")


def inputs(folder: Path):
    (folder / "in").mkdir()
    for name, image in (("0", NOISE[:9]), ("1", NOISE), ("2", NOISE[:9])):
        Image.fromarray(image).save(folder / "in" / f"{name}.png")
    return list_inputs([folder / "in"], folder / "out").inputs


def test_one_result_too_large_fails_alone(tmp_path, request):
    items = inputs(tmp_path)
    request.getfixturevalue("small_files")
    done = predict_files(Painter(lambda: None), items, tmp_path / "out", lambda _: None)
    assert done.failures == [f"{tmp_path / 'in/1.png'}: the results cannot be written (File too large)."]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.jpg", "2.jpg"]


@pytest.mark.parametrize("trouble", ["renamed", "deleted", "replaced"])
def test_an_output_folder_that_goes_away_stops_the_run(tmp_path, trouble, capsys):
    output, elsewhere = tmp_path / "out", tmp_path / "elsewhere"

    def go_away() -> None:
        if trouble == "deleted":
            shutil.rmtree(output)
        else:
            output.rename(elsewhere)
        if trouble == "replaced":
            output.mkdir()

    status = run_command(predict_files, Painter(go_away), inputs(tmp_path), output, lambda _: None)
    assert status == 1
    assert f"error: {output}: the results cannot be written (" in capsys.readouterr().err
    assert trouble == "deleted" or [path.name for path in elsewhere.iterdir()] == ["0.jpg"]
    assert not (output / "2.jpg").exists()


def test_an_output_that_cannot_be_created_is_a_wrong_option(tmp_path, capsys):
    (tmp_path / "out").touch()
    items = inputs(tmp_path)
    assert run_command(predict_files, Painter(lambda: None), items, tmp_path / "out") == 2
    assert "cannot be written (File exists); give another --output.\n" in capsys.readouterr().err


def test_a_run_notices_that_its_folder_was_moved(tmp_path):
    folder = tmp_path / "run"
    with EventStorage() as storage:
        metrics = MetricsFile(folder / "metrics.json")
        storage.put_scalar("total_loss", 1.0)
        metrics.write()
        checkpoints = RunCheckpoints(folder, max_to_keep=1, asynchronous=False)
        folder.rename(tmp_path / "elsewhere")
        for write in (metrics.write, lambda: checkpoints.save("model_0", {"model": {}})):
            with pytest.raises(FileNotFoundError) as raised:
                write()
            assert isinstance(writing_failure(raised.value, folder), OutputError)
    assert not folder.exists()


@pytest.mark.usefixtures("small_files")
def test_a_log_that_cannot_be_written_is_reported_once(tmp_path, capfd):
    start_log(str(tmp_path))
    for _ in range(3):
        logging.getLogger("eva_engine").info("x" * 15_000)
    logging.getLogger("eva_engine").handlers.clear()
    reported = f"warning: {tmp_path}/log.txt cannot be written (File too large)\n"
    assert capfd.readouterr().err == reported


def test_errors_of_writing_a_run_are_distinguished_from_others(tmp_path):
    log = tmp_path / "run/log.txt"
    log.parent.mkdir()
    assert writing_failure(ValueError("a mistake"), log.parent) is None
    assert writing_failure(FileNotFoundError(errno.ENOENT, "gone", "/data/image.jpg"), log.parent) is None
    assert writing_failure(ConnectionResetError(errno.ECONNRESET, "reset"), log.parent) is None
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        wrapped = RuntimeError("unexpected position")
        wrapped.__cause__ = OSError(number, os.strerror(number))
        failure = writing_failure(wrapped, log.parent)
        assert isinstance(failure, OutputError)
        assert str(failure).startswith(f"{log.parent} cannot be written ({os.strerror(number)}); ")
    read_only = writing_failure(PermissionError(errno.EACCES, "Permission denied", str(log)), log.parent)
    assert str(read_only).startswith(f"{log} cannot be written (Permission denied); ")
    log.parent.rename(tmp_path / "other")
    assert "was moved or deleted while it was written to" in str(writing_failure(ValueError("any"), log.parent))
    assert isinstance(failure, InputError)
