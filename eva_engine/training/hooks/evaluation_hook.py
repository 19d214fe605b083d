"""Evaluate between iterations, and save the best checkpoint."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from detectron2.engine import HookBase
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

from ..monitoring import BestMetric
from ..random_state import preserved_random_state
from .checkpoint_hook import CheckpointHook
from .metrics_hook import MetricsHook, is_due


class EvaluationHook(HookBase):
    """Evaluate every `period` iterations and after the last one, after the checkpoint of the same iteration is saved.

    Evaluations do not change the random numbers of training. Results are written to the metrics only after the best
    checkpoint is saved: if a run is killed before that, the resumed run repeats the evaluation.

    Args:
        evaluate: Function that returns {"bbox": {"AP": ...}, ...} on rank 0 and {} on the others. Collective.
        period: Number of iterations between evaluations; 0 evaluates only after the last.
        metrics_hook: Hook that writes the results.
        checkpoint_hook: Hook that saves the best checkpoint.
        best: Comparison of an evaluation with all earlier ones; None saves no best checkpoint.
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
        if self.best is not None:
            for results in self.earlier_results:
                self.best.update(results, int(results["iteration"]))
        start = self.trainer.start_iter
        was_evaluated = any(results["iteration"] == start - 1 for results in self.earlier_results)
        # Only rank 0 has read the earlier results, so its answer counts in all processes.
        if start > 0 and is_due(start, self.period, self.trainer.max_iter) and not comm.all_gather(was_evaluated)[0]:
            self.trainer.storage.iter = start - 1
            self._evaluate(start - 1)
            self.trainer.storage.iter = start

    def after_step(self) -> None:
        """Evaluate if it is due."""
        trainer = self.trainer
        if is_due(trainer.num_finished, self.period, trainer.max_iter) and not trainer.stopping:
            self._evaluate(trainer.iter)

    def _evaluate(self, iteration: int) -> None:
        with preserved_random_state():
            results = self.evaluate()
        numbers = {name: float(value) for name, value in flatten_results_dict(results).items()}
        is_best = False
        if numbers and self.best is not None:
            is_best = self.best.update(numbers, iteration)
        if comm.all_gather(is_best)[0]:
            self.checkpoint_hook.save_best()
        self.trainer.storage.put_scalars(**numbers, smoothing_hint=False)
        self.metrics_hook.write()
