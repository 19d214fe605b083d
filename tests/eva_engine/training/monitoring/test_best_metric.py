"""The best evaluation of a run, and when there is no more progress."""

import math

import pytest
from omegaconf import OmegaConf

from detectron2_ext.evaluation import COCOEvaluator, LVISEvaluator
from eva_backbone.errors import InputError
from eva_engine.training.monitoring import BestMetric, check_best_metric


def ap(value):
    return {"bbox": {"AP": value, "AP50": 1.0, "AP-cat": 2.0}, "segm": {"AP": 0.0}}


@pytest.mark.parametrize(
    ("name", "lower_is_better"),
    [("validation/total_loss", True), ("mim/loss", True), ("bbox/AP", False), ("loss/AP", False)],
)
def test_losses_are_better_if_lower(name, lower_is_better):
    assert BestMetric(name).lower_is_better == lower_is_better
    assert not BestMetric(name, "max").lower_is_better


def test_patience_counts_evaluations_without_progress():
    values = [5.0, 4.0, 3.8, 3.6, 3.4, math.nan, 3.4, 1.0]
    best = BestMetric("a/loss", patience=3, min_delta=0.5)
    states = [best.update({"a": {"loss": value}}, 10 * i) or best.should_stop for i, value in enumerate(values)]
    # Every better value is the best one. 3.8 and 3.6 are no progress, 3.4 is one, since it is compared with 4.0.
    assert states == [True, True, True, True, True, False, False, True]
    assert (best.value, best.best_iteration, best.iteration, best.num_without_progress) == (1.0, 70, 70, 0)


def test_stops_after_patience_and_resumes_with_its_state():
    def after(values, state=None):
        best = BestMetric("a/loss", patience=2)
        if state is not None:
            best.load_state_dict(state)
        for value in values:
            best.update({"a": {"loss": value}}, best.iteration + 1)
        return best

    first = after([3.0, 2.0, 2.5])
    assert not first.should_stop
    assert after([2.0], first.state_dict()).should_stop
    assert after([2.0], first.state_dict()).state_dict() == after([3.0, 2.0, 2.5, 2.0]).state_dict()
    assert not after([1.9], first.state_dict()).should_stop
    other = BestMetric("b/loss", patience=2)
    other.load_state_dict(first.state_dict())  # a run that is continued with another metric
    assert (other.value, other.iteration) == (None, -1)
    with pytest.raises(ValueError, match="value of the best metric is 'x'"):
        after([], {**first.state_dict(), "value": "x"})


@pytest.mark.parametrize(
    ("mode", "values", "better"),
    [
        ("max", [1.0, 3.0, 2.0, 3.0, 4.0], [True, True, False, False, True]),
        ("min", [3.0, 1.0, 2.0, 1.0, 0.5], [True, True, False, False, True]),
        ("max", [math.nan, -5.0, math.inf, None, -4.0], [False, True, False, False, True]),
        ("min", [0.0, -math.inf, math.nan], [True, False, False]),
    ],
)
def test_better_than_all_before(mode, values, better):
    best = BestMetric("bbox/AP", mode)
    assert [best.update(ap(value), iteration) for iteration, value in enumerate(values)] == better


def test_the_error_for_a_missing_metric_lists_the_others():
    with pytest.raises(InputError, match=r"'box/AP'.*the metrics are: bbox/AP, bbox/AP50, segm/AP$"):
        BestMetric("box/AP").update(ap(1.0), 0)
    with pytest.raises(InputError, match="the metrics are: none"):
        BestMetric("box/AP").update({}, 0)
    assert BestMetric("bbox/AP-cat").update(ap(1.0), 0)


def recipe(name, mode="auto", evaluator=None, stopping="", validation_loss=False):
    train = {
        "checkpointer": {"best_metric": name, "best_mode": mode},
        "early_stopping": {"metric": stopping, "patience": 5, "min_delta": 0.0},
        "validation_loss": validation_loss,
    }
    return OmegaConf.create({"train": train, "dataloader": {"evaluator": evaluator}}, flags={"allow_objects": True})


def evaluator(target, **keywords):
    return {"_target_": f"{target.__module__}.{target.__qualname__}", **keywords}


class Unlisted:
    """An evaluator that does not list its metrics."""


@pytest.mark.parametrize(
    "cfg",
    [
        recipe(""),
        recipe("bbox/AP", evaluator=evaluator(COCOEvaluator)),
        recipe("segm/AP-person", evaluator=evaluator(COCOEvaluator)),
        recipe("segm/APr", evaluator=evaluator(LVISEvaluator)),
        recipe("bbox/AP", evaluator={"_target_": COCOEvaluator, "tasks": ["bbox"]}),
        recipe("top1", "min", evaluator={"_target_": Unlisted}),
        recipe("top1", evaluator=[{"_target_": Unlisted}]),
        recipe("", stopping="validation/total_loss", validation_loss=True),
        recipe("wrong", stopping="bbox/AP", evaluator=evaluator(COCOEvaluator)),  # early stopping comes first
    ],
)
def test_metrics_that_may_be_reported_pass(cfg):
    check_best_metric(cfg)


@pytest.mark.parametrize(
    ("cfg", "sentence"),
    [
        (recipe("bbox/AP", "largest"), "best_mode='largest' is not known; choose one of auto, max, min"),
        (recipe("", "largest"), "best_mode='largest' is not known"),
        (recipe("bbox/AP"), "the recipe does not evaluate"),
        (recipe("validation/loss_a"), "checkpointer.best_metric .* add train.validation_loss=True"),
        (recipe("", stopping="AP", evaluator=evaluator(COCOEvaluator)), "early_stopping.metric is 'AP'"),
        (recipe("AP", evaluator=evaluator(COCOEvaluator)), r"'AP'.*the metrics are: bbox/AP, bbox/AP50"),
        (recipe("bbox/APr", evaluator=evaluator(COCOEvaluator)), "bbox/APr"),
        (recipe("segm/AP", evaluator=evaluator(COCOEvaluator, tasks=["bbox"])), "bbox/APl$"),
    ],
)
def test_unusable_metrics_are_refused_early(cfg, sentence):
    with pytest.raises(InputError, match=sentence):
        check_best_metric(cfg)
