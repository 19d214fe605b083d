"""The learning-rate schedule of the published segmentation recipes."""

from fvcore.common.param_scheduler import LinearParamScheduler

from eva_engine.training.optimization import IterationSchedule


class WarmupPolynomial(IterationSchedule):
    """Polynomial decay to 0 from the first iteration on, multiplied by a linear warm-up; for semantic segmentation.

    Args:
        max_iter: Number of iterations of the run.
        warmup_iters: Number of iterations of the warm-up.
        start: Initial factor of the warm-up, which grows to 1.
        power: Exponent of the polynomial.
    """

    def __init__(self, max_iter: int, warmup_iters: int = 0, start: float = 1e-6, power: float = 1.0) -> None:
        super().__init__(max_iter, warmup_iters)
        self.warmup = LinearParamScheduler(start, 1.0)
        self.power = power

    def at(self, iteration: int) -> float:
        """Return the factor of an iteration, counted from 0."""
        factor = max(1.0 - iteration / self.max_iter, 0.0) ** self.power
        if iteration < self.warmup_iters:
            factor = factor * self.warmup(iteration / self.warmup_iters)
        return factor
