"""The best evaluation of a run."""

import math

import pytest
from omegaconf import OmegaConf

from detectron2_ext.evaluation import COCOEvaluator, LVISEvaluator
from eva_backbone.errors import InputError
from eva_engine.training.monitoring import BestMetric, check_best_metric


def ap(value):
    return {"bbox": {"AP": value, "AP50": 1.0, "AP-cat": 2.0}, "segm": {"AP": 0.0}}


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


def recipe(name, mode="max", evaluator=None):
    best = {"best_metric": name, "best_mode": mode}
    return OmegaConf.create(
        {"train": {"checkpointer": best}, "dataloader": {"evaluator": evaluator}}, flags={"allow_objects": True}
    )


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
    ],
)
def test_metrics_that_may_be_reported_pass(cfg):
    check_best_metric(cfg)


@pytest.mark.parametrize(
    ("cfg", "sentence"),
    [
        (recipe("bbox/AP", "largest"), "best_mode is 'largest'; give max or min"),
        (recipe("bbox/AP"), "the recipe does not evaluate"),
        (recipe("AP", evaluator=evaluator(COCOEvaluator)), r"'AP'.*the metrics are: bbox/AP, bbox/AP50"),
        (recipe("bbox/APr", evaluator=evaluator(COCOEvaluator)), "bbox/APr"),
        (recipe("segm/AP", evaluator=evaluator(COCOEvaluator, tasks=["bbox"])), "bbox/APl$"),
    ],
)
def test_unusable_metrics_are_refused_early(cfg, sentence):
    with pytest.raises(InputError, match=sentence):
        check_best_metric(cfg)
