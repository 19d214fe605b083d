"""The file of a run's evaluations."""

import json
import math

import pytest

from detectron2_ext.engine.evaluation_history import EvaluationHistory
from detectron2_ext.engine.monitoring import BestMetric


def test_evaluations_are_written_down_and_the_best_is_told(tmp_path):
    file = tmp_path / "evaluations.json"
    history = EvaluationHistory(file, 0, BestMetric("bbox/AP"))
    values = [1.0, 3.0, 3.0, math.nan, 2.0, 4.0]
    told = [history.add(10 * n, {"bbox/AP": value, "bbox/AP50": 0.0}) for n, value in enumerate(values)]
    assert told == [True, True, False, False, False, True]
    assert [entry["bbox/AP"] for entry in json.loads(file.read_text())] == [1.0, 3.0, 3.0, None, 2.0, 4.0]
    assert [n for n in range(60) if history.has(n)] == [0, 10, 20, 30, 40, 50]


@pytest.mark.parametrize(("start_iter", "is_best"), [(0, True), (11, False), (10, True)])
def test_resumed_run_forgets_what_it_does_again(start_iter, is_best, tmp_path):
    file = tmp_path / "evaluations.json"
    before = EvaluationHistory(file, 0, BestMetric("bbox/AP"))
    before.add(5, {"bbox/AP": 1.0})
    before.add(10, {"bbox/AP": 9.0})
    history = EvaluationHistory(file, start_iter, BestMetric("bbox/AP"))
    assert history.has(10) == (start_iter > 10)
    assert history.add(10, {"bbox/AP": 5.0}) == is_best


def test_nothing_is_best_where_nobody_asks(tmp_path):
    assert not EvaluationHistory(tmp_path / "evaluations.json", 0).add(1, {"bbox/AP": 5.0})
