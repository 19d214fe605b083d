"""metrics.json and the TensorBoard events of runs that are cut short and resumed."""

import json
import os

import pytest
import torch
from detectron2.utils.events import EventStorage, JSONWriter
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from eva_backbone.errors import InputError
from eva_engine.report import read_curves
from eva_engine.training.monitoring import MetricsFile, NewScalars, TensorBoardEvents


def run(writer, iterations, period=2, evaluate_at=None):
    """Scalars that depend on the iteration alone, as those of an exact resume do."""
    with EventStorage(iterations[0]) as storage:
        for iteration in iterations:
            storage.iter = iteration
            storage.put_scalars(total_loss=1.0 / (iteration + 1), loss_mask=iteration / 3)
            storage.put_scalar("lr", 0.1 * iteration, smoothing_hint=False)
            if iteration == evaluate_at:
                storage.put_scalar("bbox/AP", 41.5, smoothing_hint=False)
            if (iteration + 1) % period == 0:
                writer.write()
        return storage


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_those_of_detectron2_without_smoothing(tmp_path):
    for writer in (MetricsFile(tmp_path / "own"), JSONWriter(tmp_path / "peer", window_size=1)):
        run(writer, range(10), evaluate_at=4)
        writer.close()
    assert sorted((tmp_path / "own").read_text().splitlines()) == sorted((tmp_path / "peer").read_text().splitlines())
    lines = read(tmp_path / "own")
    assert [line["iteration"] for line in lines] == [1, 3, 4, 5, 7, 9]
    assert lines[0] == {"iteration": 1, "loss_mask": 1 / 3, "lr": 0.1, "total_loss": 0.5}
    assert lines[2] == {"iteration": 4, "bbox/AP": 41.5}
    assert read_curves(tmp_path / "own").losses["total_loss"][9] == 0.1


def test_lines_are_in_the_file_before_it_is_closed(tmp_path):
    writer = MetricsFile(tmp_path / "metrics.json")
    run(writer, range(4))
    assert len(read(tmp_path / "metrics.json")) == 2
    writer.close()


@pytest.mark.parametrize("resume_at", [0, 1, 4, 5, 8, 10])
@pytest.mark.parametrize("cut", [0, 1, 30], ids=["complete", "without newline", "half a line"])
def test_a_resumed_run_leaves_the_file_of_an_uninterrupted_one(tmp_path, resume_at, cut):
    run(MetricsFile(tmp_path / "uninterrupted"), range(12))
    path = tmp_path / "metrics.json"
    run(MetricsFile(path), range(10))
    text = path.read_text()
    path.write_text(text[: len(text) - cut])
    first = min(resume_at, 8 if cut else 10)  # iterations in a checkpoint have been written
    run(MetricsFile(path, first), range(first, 12))
    assert path.read_text() == (tmp_path / "uninterrupted").read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["metrics.json", "uninterrupted"]


def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "metrics.json")
    with pytest.raises(InputError, match=r"metrics\.json: not a regular file; delete it"):
        MetricsFile(tmp_path / "metrics.json")


def test_a_complete_last_line_without_newline_gets_one(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text('{"iteration": 1, "lr": 0.5}')
    run(MetricsFile(path, 2), range(2, 4))
    assert [line["iteration"] for line in read(path)] == [1, 3]


def test_a_file_with_nothing_to_drop_is_not_rewritten(tmp_path):
    path = tmp_path / "metrics.json"
    run(MetricsFile(path), range(4))
    before = path.stat().st_ino
    MetricsFile(path, 4)
    assert path.stat().st_ino == before


def test_values_put_late_into_an_iteration_are_returned_by_the_next_call():
    new = NewScalars()
    with EventStorage(3) as storage:
        storage.put_scalar("total_loss", 1.0)
        assert new.take(storage) == [(3, {"total_loss": 1.0})]
        storage.put_scalar("bbox/AP", 2.0)
        assert new.take(storage) == [(3, {"bbox/AP": 2.0})]
        assert new.take(storage) == []


def test_tensorboard_shows_one_curve_after_a_resume(tmp_path):
    writer = TensorBoardEvents(str(tmp_path))
    run(writer, range(10), evaluate_at=9)  # killed here: never closed
    (file,) = tmp_path.iterdir()
    # TensorBoard orders files by the second in their names; a run is not killed and resumed within one.
    file.rename(file.with_name(file.name.replace("tfevents.", "tfevents.0")))
    resumed = TensorBoardEvents(str(tmp_path), start_iter=6)
    run(resumed, range(6, 14), evaluate_at=11)
    resumed.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert len(list(tmp_path.iterdir())) == 2
    losses = events.Scalars("total_loss")
    assert [event.step for event in losses] == [1, 3, 5, 7, 9, 11, 13]
    assert [event.value for event in losses] == pytest.approx([1 / (step + 1) for step in range(1, 14, 2)])
    assert [event.step for event in events.Scalars("bbox/AP")] == [11]
    writer.close()


def test_tensorboard_gets_images_too(tmp_path):
    with EventStorage(0) as storage:
        writer = TensorBoardEvents(str(tmp_path))
        storage.put_image("boxes", torch.zeros(3, 4, 4))
        writer.write()
        writer.close()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert events.Tags()["images"] == ["boxes"]
