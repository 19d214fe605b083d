"""Find the best evaluation of a run."""

import logging
import math
from collections.abc import Collection, Mapping
from typing import Any

from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils.registry import locate
from omegaconf import DictConfig

from eva_backbone.errors import InputError

logger = logging.getLogger(__name__)

MODES = ("max", "min")


class BestMetric:
    """Compare one metric over the evaluations of a run; a resumed run passes its earlier evaluations first.

    Args:
        name: Path in the nested results, such as "bbox/AP" for {"bbox": {"AP": 41.2}}.
        mode: "max" if higher values are better, "min" if lower ones are.
    """

    def __init__(self, name: str, mode: str = "max") -> None:
        _check_mode(mode)
        self.name, self.mode = name, mode
        self.value: float | None = None

    def update(self, results: Mapping[str, Any], iteration: int) -> bool:
        """Return whether `results`, measured at `iteration`, are better than all before; equal ones and NaN are not.

        Raises:
            InputError: The metric is not among the results. Save finished work before this call.
        """
        metrics = flatten_results_dict(results)
        if self.name not in metrics:
            raise InputError(_unknown_metric(self.name, [name for name in metrics if not _is_per_class(name, metrics)]))
        value = metrics[self.name]
        if value is None or not math.isfinite(value):
            logger.warning("%s is %s at iteration %d, which cannot be the best", self.name, value, iteration)
            return False
        if self.value is not None:
            is_better = value > self.value if self.mode == "max" else value < self.value
            if not is_better:
                return False
        self.value = float(value)
        return True


def check_best_metric(cfg: DictConfig) -> None:
    """Check, before a model is built, that the evaluator reports `train.checkpointer.best_metric`.

    The metrics of an evaluator are known in advance if its class lists them in `metric_names`; other evaluators pass.

    Raises:
        InputError: No evaluator, a metric that it does not report, or an unknown mode.
    """
    name, mode = cfg.train.checkpointer.best_metric, cfg.train.checkpointer.best_mode
    _check_mode(mode)
    if not name:
        return
    evaluator = cfg.dataloader.get("evaluator")
    if evaluator is None:
        raise InputError(
            f"train.checkpointer.best_metric is {name!r}, but the recipe does not evaluate; "
            "give validation data, or leave the setting empty"
        )
    known = _known_metrics(evaluator)
    if known and name not in known and not _is_per_class(name, known):
        raise InputError(_unknown_metric(name, known))


def _known_metrics(evaluator: Any) -> list[str]:
    """Return the metrics that an evaluator of a config lists; [] if it lists none."""
    if not isinstance(evaluator, DictConfig):
        return []
    target = evaluator.get("_target_")
    if isinstance(target, str):
        target = locate(target)
    names = list(getattr(target, "metric_names", ()))
    if evaluator.get("tasks"):
        names = [name for name in names if name.split("/")[0] in evaluator.tasks]
    return names


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise InputError(f"train.checkpointer.best_mode is {mode!r}; give max or min")


def _is_per_class(name: str, names: Collection[str]) -> bool:
    """Return whether `name` is the value of one class for a metric in `names`, as "bbox/AP-person" is for "bbox/AP"."""
    metric, dash, _ = name.partition("-")
    return dash == "-" and metric in names


def _unknown_metric(name: str, known: Collection[str]) -> str:
    metrics = ", ".join(known) or "none"
    return (
        f"train.checkpointer.best_metric is {name!r}, which the evaluator does not report; the metrics are: {metrics}"
    )
