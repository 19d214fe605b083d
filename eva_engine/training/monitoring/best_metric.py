"""Which evaluation of a run was the best so far."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils.registry import locate
from omegaconf import DictConfig

from eva_backbone.errors import InputError

logger = logging.getLogger(__name__)

MODES = ("max", "min")


class BestMetric:
    """Compares one metric from evaluation to evaluation; a resumed run goes through the earlier ones first.

    Args:
        name: path in the nested results, such as "bbox/AP" for {"bbox": {"AP": 41.2}}.
        mode: "max" or "min", whichever is better.
    """

    def __init__(self, name: str, mode: str = "max") -> None:
        _check_mode(mode)
        self.name, self.mode = name, mode
        self.value: float | None = None

    def update(self, results: Mapping[str, Any], iteration: int) -> bool:
        """Whether `results`, measured at `iteration`, are better than all before; equal ones and NaN are not.

        Raises:
            InputError: the metric is not among the results; call it once finished work is safe.
        """
        metrics = flatten_results_dict(results)
        if self.name not in metrics:
            raise InputError(_unknown(self.name, [name for name in metrics if not _is_per_class(name, metrics)]))
        value = metrics[self.name]
        if value is None or not math.isfinite(value):
            logger.warning("%s is %s at iteration %d, which cannot be the best", self.name, value, iteration)
            return False
        if self.value is not None and not (value > self.value if self.mode == "max" else value < self.value):
            return False
        self.value = float(value)
        return True


def check_best_metric(cfg: DictConfig) -> None:
    """Find out before anything is built whether `train.checkpointer.best_metric` can be measured.

    The metrics of an evaluator are known beforehand if its class lists them in `metric_names`.

    Raises:
        InputError: no evaluator, a name that its evaluator does not give, or an unknown mode.
    """
    name, mode = cfg.train.checkpointer.best_metric, cfg.train.checkpointer.best_mode
    _check_mode(mode)
    if not name:
        return
    evaluator = cfg.dataloader.get("evaluator")
    if evaluator is None:
        raise InputError(
            f"train.checkpointer.best_metric is {name!r}, but nothing is evaluated; "
            "give validation data, or leave it empty"
        )
    target = evaluator.get("_target_") if isinstance(evaluator, DictConfig) else None
    known = getattr(locate(target) if isinstance(target, str) else target, "metric_names", ())
    if known and evaluator.get("tasks"):
        known = [metric for metric in known if metric.split("/")[0] in evaluator.tasks]
    if known and name not in known and not _is_per_class(name, known):
        raise InputError(_unknown(name, known))


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise InputError(f"train.checkpointer.best_mode is {mode!r}; give max or min")


def _is_per_class(name: str, names: Any) -> bool:
    """Whether `name` is a metric of `names` for one class, as "bbox/AP-person" is."""
    stem, dash, _ = name.partition("-")
    return bool(dash) and stem in names


def _unknown(name: str, known: Any) -> str:
    listed = ", ".join(known) or "none"
    return f"train.checkpointer.best_metric is {name!r}, which the evaluation does not give; the metrics are: {listed}"
