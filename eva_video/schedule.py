"""The learning-rate schedule of the published video recipes."""

from fvcore.common.param_scheduler import CosineParamScheduler, LinearParamScheduler

from eva_engine.training.optimization import IterationSchedule


class LaggedWarmupCosine(IterationSchedule):
    """Linear warm-up that reaches 1 after its last iteration, then half a cosine, all one iteration late; for video.

    The published code set the value of an iteration after the previous one and from the number of that one, so the
    first value is used twice.

    Args:
        max_iter: Number of iterations of the run.
        warmup_iters: Number of iterations of the warm-up.
        start: Factor of the first iterations; ignored without a warm-up.
        end: Final factor.
    """

    def __init__(self, max_iter: int, warmup_iters: int = 0, start: float = 0.0, end: float = 0.01) -> None:
        super().__init__(max_iter, warmup_iters)
        self.warmup = LinearParamScheduler(start, 1.0)
        self.decay = CosineParamScheduler(1.0, end)
        self.decay_iters = max(max_iter - warmup_iters, 1)

    def at(self, iteration: int) -> float:
        """Return the factor of an iteration, counted from 0."""
        previous = max(iteration - 1, 0)
        if previous < self.warmup_iters:
            return self.warmup(previous / self.warmup_iters)
        return self.decay(min((previous - self.warmup_iters) / self.decay_iters, 1.0))
