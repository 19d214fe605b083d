"""The progress line of synthetic scalars."""

import logging
import math

import pytest
from detectron2.utils.events import EventStorage

from eva_engine.training.monitoring import ProgressLine, progress
from eva_engine.training.monitoring.progress import peak_memory_gib

CASCADE = {f"loss_{part}_stage{stage}": 0.5 for part in ("cls", "box_reg") for stage in range(3)}
CASCADE |= {"loss_mask": 0.691, "loss_rpn_cls": 0.685, "loss_rpn_loc": 0.102}


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger=progress.__name__)
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    monkeypatch.setattr(progress, "peak_memory_gib", lambda _: 12.34)


def put(storage, iteration, **scalars):
    storage.iter = iteration
    storage.put_scalars(**scalars)


def test_a_line_of_a_cascade_has_everything_and_fits(lines):
    with EventStorage(89979) as storage:
        writer = ProgressLine(90000, "cuda")
        for iteration in range(89970, 89980):
            put(storage, iteration, **CASCADE, total_loss=4.478, images=64, data_time=0.1, grad_norm=3.1, time=2.0)
            storage.put_scalar("lr", 4.2e-4, smoothing_hint=False)
            storage.put_scalar("roi_head/loss_of_something_else", 1.0)
        writer.write()
    (line,) = lines()
    assert line == (
        "89980/90000  eta  0:00:40  loss 4.48 cls 1.50 box_reg 1.50 mask 0.69 rpn_cls 0.69 rpn_loc 0.10  "
        "32.0 img/s  wait  5%  12.3 GiB  lr 4.2e-04  grad 3.10"
    )
    assert len(line) + len("[16:06:12] ") <= 160
    assert storage.latest()["eta_seconds"] == (40.0, 89979)
    assert storage.latest()["peak_memory_gib"] == (12.34, 89979)


def test_values_are_means_since_the_previous_line(lines):
    with EventStorage(0) as storage:
        writer = ProgressLine(20, "cpu")
        for iteration in range(4):
            put(storage, iteration, total_loss=float(iteration + 1), data_time=0.0)
        writer.write()
        for iteration in range(4, 8):
            put(storage, iteration, total_loss=10.0 * (iteration + 1), data_time=0.5, images=2, time=1.0)
        writer.write()
    first, second = lines()
    assert first.startswith(" 4/20  eta        -  loss 2.50  12.3 GiB")
    assert second.startswith(" 8/20  eta  0:00:12  loss 65.0  2.00 img/s  wait 50%  12.3 GiB")


def test_time_left_is_estimated_from_the_last_hundred_iterations(lines):
    with EventStorage(0) as storage:
        for iteration in range(300):
            put(storage, iteration, total_loss=1.0, time=9.0 if iteration < 200 else 2.0)
        ProgressLine(1300, "cpu").write()
    assert "eta  0:33:20" in lines()[0]


def test_speed_counts_only_iterations_that_were_timed(lines):
    with EventStorage(0) as storage:
        for iteration in range(4):
            put(storage, iteration, total_loss=1.0, images=8, data_time=5.0 if iteration < 2 else 0.25)
            if iteration >= 2:
                storage.put_scalar("time", 1.0)
        ProgressLine(10, "cpu").write()
    assert "8.00 img/s  wait 25%" in lines()[0]


def test_skipped_steps_are_shown_and_the_mean_ignores_non_finite_values(lines):
    with EventStorage(0) as storage:
        for iteration, loss in enumerate((1.0, math.nan, 2.0)):
            put(storage, iteration, total_loss=loss, grad_norm=math.inf if iteration == 1 else 1.0, skipped_steps=1)
        ProgressLine(10, "cpu").write()
    assert "loss 1.50" in lines()[0]
    assert lines()[0].endswith("grad 1.00  skipped 1")


def test_no_line_is_repeated_at_the_end(lines):
    with EventStorage(0) as storage:
        writer = ProgressLine(2, "cpu")
        put(storage, 0, total_loss=1.0)
        writer.write()
        put(storage, 1, total_loss=1.0)
        writer.write()
        put(storage, 2, **{"bbox/AP": 3.0})
        writer.write()
    assert [line.split()[0] for line in lines()] == ["1/2", "2/2"]


def test_without_any_training_step_there_is_no_line(lines):
    with EventStorage(5):
        ProgressLine(5, "cpu").write()
    assert lines() == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00"), (87.4, "0:01:27"), (45296, "12:34:56"), (274320, "3d 04:12"), (math.nan, "-")],
)
def test_seconds(seconds, text):
    assert progress.format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (0.691, "0.69"),
        (9.996, "10.0"),
        (99.96, " 100"),
        (1e-5, "1.0e-05"),
        (-2.5, "-2.50"),
        (3e7, "3.0e+07"),
        (math.nan, " nan"),
        (math.inf, " inf"),
    ],
)
def test_numbers(value, text):
    assert progress.format_number(value) == text


def test_peak_memory_of_this_process_is_plausible():
    assert 0.05 < peak_memory_gib("cpu") < 1000
