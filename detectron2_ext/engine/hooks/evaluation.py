"""Evaluation between iterations, and the best checkpoint by its results."""

from collections.abc import Callable
from typing import Any

from detectron2.engine import HookBase
from detectron2.evaluation.testing import flatten_results_dict

from ..evaluation_history import EvaluationHistory
from ..random_state import kept_random_state


class Evaluate(HookBase):
    """Evaluates every `period` iterations and after the last one, behind the checkpoint of the same iteration.

    An evaluation that a killed run did not finish is made up for when the run is resumed. It draws no random number
    of the training.

    Args:
        evaluate: returns {"bbox": {"AP": ...}, ...}, {} on every process but the first. Collective.
        period: iterations between evaluations; 0: only the last.
        history: the evaluations of this run.
        save_best: saves the model as the best so far. Collective.
        write: hands the results to the metric writers.
    """

    def __init__(
        self,
        evaluate: Callable[[], dict[str, Any]],
        period: int,
        history: EvaluationHistory,
        save_best: Callable[[], None],
        write: Callable[[], None],
    ) -> None:
        self.evaluate = evaluate
        self.period = period
        self.history = history
        self.save_best = save_best
        self.write = write

    def before_train(self) -> None:
        done = self.trainer.start_iter
        if done and self._due(done) and not self.history.has(done - 1):
            self.trainer.storage.iter = done - 1
            self._evaluate(done - 1)
            self.trainer.storage.iter = done

    def after_step(self) -> None:
        if self._due(self.trainer.num_finished) and not self.trainer.stopping:
            self._evaluate(self.trainer.iter)

    def _due(self, num_finished: int) -> bool:
        return num_finished == self.trainer.max_iter or (self.period > 0 and num_finished % self.period == 0)

    def _evaluate(self, iteration: int) -> None:
        with kept_random_state():
            results = self.evaluate()
        numbers = {name: float(value) for name, value in flatten_results_dict(results).items()}
        self.trainer.storage.put_scalars(**numbers, smoothing_hint=False)
        self.write()
        if self.history.add(iteration, numbers):
            self.save_best()
