"""Evaluations between iterations: when, in which order, and which ones a resumed run repeats."""

import json
import math
from types import SimpleNamespace

import pytest
from detectron2.utils.events import EventStorage, EventWriter

from eva_engine.training.hooks import EvaluationHook, MetricsHook
from eva_engine.training.monitoring import BestMetric, MetricsFile, read_evaluations


class EventRecorder(EventWriter):
    def __init__(self, events):
        self.events = events

    def write(self):
        self.events.append("written")


class Run:
    """Iterations without a model, with given results of evaluations; records what happens in `events`."""

    def __init__(self, folder, values, start_iter=0):
        self.events = []
        self.values = iter(values)
        self.file = folder / "metrics.json"
        earlier_results = read_evaluations(self.file, start_iter)
        self.hook = EvaluationHook(
            self.evaluate,
            2,
            MetricsHook([MetricsFile(self.file, start_iter), EventRecorder(self.events)]),
            SimpleNamespace(save_best=lambda: self.events.append("best")),
            best=BestMetric("bbox/AP"),
            earlier_results=earlier_results,
        )
        self.start_iter = start_iter

    def evaluate(self):
        self.events.append("evaluated")
        return {"bbox": {"AP": next(self.values)}}

    def train(self, max_iter):
        with EventStorage(self.start_iter) as storage:
            trainer = SimpleNamespace(storage=storage, start_iter=self.start_iter, max_iter=max_iter, stopping=False)
            self.hook.trainer = trainer
            self.hook.before_train()
            for trainer.iter in range(self.start_iter, max_iter):
                storage.iter = trainer.iter
                trainer.num_finished = trainer.iter + 1
                self.hook.after_step()
        return self

    def results(self):
        return [(line["iteration"], line["bbox/AP"]) for line in map(json.loads, self.file.read_text().splitlines())]


def test_results_are_written_after_the_best_checkpoint(tmp_path):
    values = [1.0, 3.0, 3.0, math.nan, 4.0]
    run = Run(tmp_path, values).train(9)
    better = ["evaluated", "best", "written"]
    assert run.events == [*better, *better, "evaluated", "written", "evaluated", "written", *better]
    assert [at for at, _ in run.results()] == [1, 3, 5, 7, 8]


@pytest.mark.parametrize(
    ("start_iter", "value", "events"),
    [
        (4, 2.0, []),  # both were written
        (4, 9.0, []),
        (3, 2.0, ["evaluated", "written"]),  # the second is repeated, and is not better than the first
        (3, 9.0, ["evaluated", "best", "written"]),
    ],
)
def test_resumed_run_knows_earlier_evaluations(start_iter, value, events, tmp_path):
    Run(tmp_path, [5.0, 7.0]).train(4)
    assert Run(tmp_path, [value], start_iter).train(4).events == events


def test_evaluation_that_was_not_written_is_repeated(tmp_path):
    Run(tmp_path, [5.0]).train(2)
    run = Run(tmp_path, [6.0, 7.0], start_iter=4).train(6)
    assert run.results() == [(1, 5.0), (3, 6.0), (5, 7.0)]


def test_lines_of_training_are_not_read_as_evaluations(tmp_path):
    file = tmp_path / "metrics.json"
    assert read_evaluations(file, 9) == []
    lines = [{"iteration": 1, "total_loss": 2.0}, {"iteration": 1, "bbox/AP": 3.0}, {"iteration": 3, "bbox/AP": 4.0}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"iter')
    assert read_evaluations(file, 3) == [lines[1]]
