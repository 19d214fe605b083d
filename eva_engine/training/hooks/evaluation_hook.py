"""Evaluate between iterations, save the best checkpoint, and stop a run that makes no progress."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from detectron2.engine import HookBase
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

from ..monitoring import BestMetric
from ..random_state import preserved_random_state
from .checkpoint_hook import CheckpointHook
from .metrics_hook import MetricsHook, is_due

logger = logging.getLogger(__name__)


class EvaluationHook(HookBase):
    """Evaluate every `period` iterations and after the last one, after the checkpoint of the same iteration is saved.

    Evaluations do not change the random numbers of training. Results are written to the metrics only after the best
    checkpoint is saved: if a run is killed before that, the resumed run repeats the evaluation.

    Args:
        evaluate: Function that returns {"bbox": {"AP": ...}, ...} on rank 0 and {} on the others. Collective.
        period: Number of iterations between evaluations; 0 evaluates only after the last.
        metrics_hook: Hook that writes the results.
        checkpoint_hook: Hook that saves the best checkpoint.
        best: Comparison of an evaluation with all earlier ones, which may ask to stop; None saves no best checkpoint.
        earlier_results: Results that the run has written before it was resumed, {"iteration": ..., "bbox/AP": ...,
            ...}; used on rank 0 only.
    """

    def __init__(
        self,
        evaluate: Callable[[], dict[str, Any]],
        period: int,
        metrics_hook: MetricsHook,
        checkpoint_hook: CheckpointHook,
        *,
        best: BestMetric | None = None,
        earlier_results: Iterable[Mapping[str, float]] = (),
    ) -> None:
        self.evaluate = evaluate
        self.period = period
        self.metrics_hook = metrics_hook
        self.checkpoint_hook = checkpoint_hook
        self.best = best
        self.earlier_results = list(earlier_results)

    def before_train(self) -> None:
        """Compare the earlier results, and evaluate the checkpoint if the stopped run had not done so."""
        earlier = comm.all_gather(self.earlier_results)[0]
        for results in earlier:
            # The checkpoint contains the comparison of the evaluations before it, but not of the one at its iteration.
            if self.best is not None and self.best.name in results and results["iteration"] > self.best.iteration:
                self.best.update(results, int(results["iteration"]))
        start = self.trainer.start_iter
        was_evaluated = any(results["iteration"] == start - 1 for results in earlier)
        if start > 0 and is_due(start, self.period, self.trainer.max_iter) and not was_evaluated:
            self.trainer.storage.iter = start - 1
            self._evaluate(start - 1)
            self.trainer.storage.iter = start
        self._stop_without_progress()

    def after_step(self) -> None:
        """Evaluate if it is due, and stop if there is no progress."""
        trainer = self.trainer
        if is_due(trainer.num_finished, self.period, trainer.max_iter) and not trainer.stopping:
            self._evaluate(trainer.iter)
            self._stop_without_progress()

    def _evaluate(self, iteration: int) -> None:
        with preserved_random_state():
            results = self.evaluate()
        numbers = {name: float(value) for name, value in flatten_results_dict(results).items()}
        # Only rank 0 has the results of an evaluator; with the same numbers, all processes decide the same.
        numbers = comm.all_gather(numbers)[0]
        if self.best is not None and self.best.update(numbers, iteration):
            self.checkpoint_hook.save_best()
        self.trainer.storage.put_scalars(**numbers, smoothing_hint=False)
        self.metrics_hook.write()

    def _stop_without_progress(self) -> None:
        trainer, best = self.trainer, self.best
        if best is None or not best.should_stop or trainer.num_finished == trainer.max_iter:
            return
        trainer.stopping = trainer.stopped_by_metric = True
        self.checkpoint_hook.save_unsaved()
        logger.info(
            "Early stopping after %d iterations: no progress of %s in %d evaluations; the best value is %s, after %d "
            "iterations",
            trainer.num_finished,
            best.name,
            best.num_without_progress,
            "none" if best.value is None else f"{best.value:.6g}",
            best.best_iteration + 1,
        )
