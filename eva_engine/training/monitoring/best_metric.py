"""Find the best evaluation of a run, and decide when to stop."""

import logging
import math
from collections.abc import Collection, Mapping
from typing import Any

from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils.registry import locate
from omegaconf import DictConfig

from eva_backbone.errors import InputError, check_choice

logger = logging.getLogger(__name__)

VALIDATION = "validation"  # task of the validation losses, as in "validation/total_loss"


class BestMetric:
    """Compare one metric over the evaluations of a run. What it knows is part of the run's checkpoints.

    Args:
        name: Path in the nested results, such as "bbox/AP" for {"bbox": {"AP": 41.2}}.
        mode: "max" if higher values are better, "min" if lower ones are, "auto": "min" for losses.
        patience: Number of evaluations in a row without progress after which the run is to stop; 0: never.
        min_delta: Difference to the value at the last progress above which a better value is progress.

    Attributes:
        lower_is_better: Whether lower values are better.
        value: The best value, None if there is none yet.
        iteration: Iteration of the last evaluation, -1 if there is none yet.
        best_iteration: Iteration of the best one.
        value_at_progress: The value at the last progress.
        num_without_progress: Number of evaluations since the last progress.
    """

    def __init__(self, name: str, mode: str = "auto", *, patience: int = 0, min_delta: float = 0.0) -> None:
        check_choice("train.checkpointer.best_mode", mode, ("auto", "max", "min"))
        self.name, self.patience, self.min_delta = name, patience, min_delta
        self.lower_is_better = "loss" in name.rpartition("/")[2] if mode == "auto" else mode == "min"
        self.value: float | None = None
        self.iteration = self.best_iteration = -1
        self.num_without_progress = 0
        self.value_at_progress: float | None = None

    @classmethod
    def of_run(cls, train: DictConfig) -> "BestMetric | None":
        """Return the metric of `train.early_stopping`, else that of `train.checkpointer`; None without either."""
        mode, stopping = train.checkpointer.best_mode, train.early_stopping
        if stopping.metric:
            return cls(stopping.metric, mode, patience=stopping.patience, min_delta=stopping.min_delta)
        if train.checkpointer.best_metric:
            return cls(train.checkpointer.best_metric, mode)
        return None

    @property
    def should_stop(self) -> bool:
        """Whether there was no progress for `patience` evaluations."""
        return 0 < self.patience <= self.num_without_progress

    def update(self, results: Mapping[str, Any], iteration: int) -> bool:
        """Return whether `results`, measured at `iteration`, are better than all before; equal ones and NaN are not.

        Raises:
            InputError: The metric is not among the results. Save finished work before this call.
        """
        metrics = flatten_results_dict(results)
        if self.name not in metrics:
            raise InputError(_unknown_metric(self.name, [name for name in metrics if not _is_per_class(name, metrics)]))
        value = metrics[self.name]
        self.iteration = iteration
        self.num_without_progress += 1
        if value is None or not math.isfinite(value):
            logger.warning("%s is %s at iteration %d, which cannot be the best", self.name, value, iteration)
            return False
        value = float(value)
        if self.value_at_progress is None or self._gain(value, self.value_at_progress) > self.min_delta:
            self.value_at_progress, self.num_without_progress = value, 0
        if self.value is not None and self._gain(value, self.value) <= 0:
            return False
        self.value, self.best_iteration = value, iteration
        return True

    def _gain(self, value: float, before: float) -> float:
        return before - value if self.lower_is_better else value - before

    def state_dict(self) -> dict[str, Any]:
        """Return what was found, for a checkpoint."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with what a checkpoint contains, unless it is of another metric."""
        if state["name"] == self.name:
            for name in _STATE[1:]:
                value = state[name]
                if value is not None and (type(value) not in (int, float) or not math.isfinite(value)):
                    raise ValueError(f"{name} of the best metric is {value!r}")
                setattr(self, name, value)


_STATE = ("name", "value", "value_at_progress", "iteration", "best_iteration", "num_without_progress")


def check_best_metric(cfg: DictConfig) -> None:
    """Check, before a model is built, that evaluations report the metric of early stopping and of the best checkpoint.

    The metrics of an evaluator are known in advance if its class lists them in `metric_names`; other evaluators pass.

    Raises:
        InputError: Nothing is evaluated, a metric that is not reported, or an unknown mode.
    """
    best = BestMetric.of_run(cfg.train)
    if best is None:
        check_choice("train.checkpointer.best_mode", cfg.train.checkpointer.best_mode, ("auto", "max", "min"))
        return
    key = "early_stopping.metric" if cfg.train.early_stopping.metric else "checkpointer.best_metric"
    evaluator = cfg.dataloader.get("evaluator")
    if best.name.startswith(f"{VALIDATION}/"):
        if not cfg.train.validation_loss:
            raise InputError(
                f"train.{key} is {best.name!r}, but no validation losses are computed; add train.validation_loss=True"
            )
    elif evaluator is None:
        raise InputError(
            f"train.{key} is {best.name!r}, but the recipe does not evaluate; give validation data, or leave the "
            "setting empty"
        )
    else:
        known = _known_metrics(evaluator)
        if known and best.name not in known and not _is_per_class(best.name, known):
            raise InputError(_unknown_metric(best.name, known, key))


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


def _is_per_class(name: str, names: Collection[str]) -> bool:
    """Return whether `name` is the value of one class for a metric in `names`, as "bbox/AP-person" is for "bbox/AP"."""
    metric, dash, _ = name.partition("-")
    return dash == "-" and metric in names


def _unknown_metric(name: str, known: Collection[str], key: str = "checkpointer.best_metric") -> str:
    metrics = ", ".join(known) or "none"
    return f"train.{key} is {name!r}, which the evaluator does not report; the metrics are: {metrics}"
