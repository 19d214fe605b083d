"""Evaluation between iterations, and the best checkpoint by its results."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from detectron2.engine import HookBase
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

from ..monitoring import BestMetric
from ..random_state import kept_random_state
from .metrics_hook import is_due


class Evaluate(HookBase):
    """Evaluates every `period` iterations and after the last one, behind the checkpoint of the same iteration.

    An evaluation draws no random number of the training. Its results are written down when nothing of it is left to
    do: what a killed run did not get to is done again when the run is resumed.

    Args:
        evaluate: returns {"bbox": {"AP": ...}, ...}, {} on every process but the first. Collective.
        period: iterations between evaluations; 0: only the last.
        earlier: results that the run has written down, {"iteration": ..., "bbox/AP": ..., ...}; the first process's
            count.
        best: says which evaluation is the best; None: nobody asks.
        save_best: saves the model as the best so far, and returns when it is on disk. Collective.
        write: hands the results to the metric writers.
    """

    def __init__(
        self,
        evaluate: Callable[[], dict[str, Any]],
        period: int,
        *,
        earlier: Iterable[Mapping[str, float]],
        best: BestMetric | None,
        save_best: Callable[[], None],
        write: Callable[[], None],
    ) -> None:
        self.evaluate = evaluate
        self.period = period
        self.earlier = list(earlier)
        self.best = best
        self.save_best = save_best
        self.write = write

    def before_train(self) -> None:
        """Take over earlier results, and evaluate a checkpoint that a stopped run left without."""
        if self.best is not None:
            for results in self.earlier:
                self.best.update(results, int(results["iteration"]))
        done = self.trainer.start_iter
        was_made = any(results["iteration"] == done - 1 for results in self.earlier)
        if done and is_due(done, self.period, self.trainer.max_iter) and not comm.all_gather(was_made)[0]:
            self.trainer.storage.iter = done - 1
            self._evaluate(done - 1)
            self.trainer.storage.iter = done

    def after_step(self) -> None:
        """Evaluate when it is due."""
        trainer = self.trainer
        if is_due(trainer.num_finished, self.period, trainer.max_iter) and not trainer.stopping:
            self._evaluate(trainer.iter)

    def _evaluate(self, iteration: int) -> None:
        with kept_random_state():
            results = self.evaluate()
        numbers = {name: float(value) for name, value in flatten_results_dict(results).items()}
        is_best = bool(numbers) and self.best is not None and self.best.update(numbers, iteration)
        if comm.all_gather(is_best)[0]:
            self.save_best()
        self.trainer.storage.put_scalars(**numbers, smoothing_hint=False)
        self.write()
