"""Learning-rate and weight-decay schedules of the published recipes.

They return factors for the values of the parameter groups, and are used like fvcore's schedulers: as `lr_multiplier` or
`weight_decay_multiplier` of a recipe. They are defined by iteration, as in the published code.
"""

from typing import Literal

from fvcore.common.param_scheduler import CosineParamScheduler, LinearParamScheduler, ParamScheduler

from eva_backbone.errors import InputError


class IterationSchedule(ParamScheduler):
    """Base class of schedules that are defined by iteration.

    Args:
        max_iter: Number of iterations of the run.
        warmup_iters: Number of iterations of the warm-up.

    Raises:
        InputError: The warm-up is longer than the run.
    """

    def __init__(self, max_iter: int, warmup_iters: int) -> None:
        if not 0 <= warmup_iters <= max_iter:
            raise InputError(
                f"a warm-up of {warmup_iters} iterations does not fit a run of {max_iter}; "
                "lower lr_multiplier.warmup_iters or raise train.max_iter"
            )
        self.max_iter = max_iter
        self.warmup_iters = warmup_iters

    def __call__(self, where: float) -> float:
        """Return the factor at the fraction `where` = iteration / max_iter of the run."""
        return self.at(round(where * self.max_iter))  # rounding recovers the exact iteration

    def at(self, iteration: int) -> float:
        """Return the factor of an iteration, counted from 0."""
        raise NotImplementedError


class WarmupCosine(IterationSchedule):
    """Linear warm-up followed by half a cosine or a line, for classification and masked image modelling.

    The first iteration has the factor `start`, the last one of the warm-up has 1, and so has the first one after it. A
    cosine would reach `end` one iteration after the end of the run, a line reaches it in the last iteration.

    Args:
        max_iter: Number of iterations of the run.
        warmup_iters: Number of iterations of the warm-up.
        start: Factor of the first iteration.
        end: Final factor; above 1 for a weight decay that grows.
        shape: Curve after the warm-up, "cosine" or "linear".
    """

    def __init__(
        self,
        max_iter: int,
        warmup_iters: int = 0,
        start: float = 0.0,
        end: float = 0.0,
        shape: Literal["cosine", "linear"] = "cosine",
    ) -> None:
        super().__init__(max_iter, warmup_iters)
        if shape not in ("cosine", "linear"):
            raise InputError(f"shape={shape} is not a schedule; choose cosine or linear")
        self.warmup = LinearParamScheduler(start, 1.0)
        # The published cosine is sampled without its end point, the published line with it.
        if shape == "cosine":
            self.decay = CosineParamScheduler(1.0, end)
            decay_iters = max_iter - warmup_iters
        else:
            self.decay = LinearParamScheduler(1.0, end)
            decay_iters = max_iter - warmup_iters - 1
        self.decay_iters = max(decay_iters, 1)

    def at(self, iteration: int) -> float:
        """Return the factor of an iteration, counted from 0."""
        if iteration < self.warmup_iters:
            # n iterations have n - 1 intervals, so the last one has exactly the factor 1.
            return self.warmup(iteration / max(self.warmup_iters - 1, 1))
        return self.decay(min((iteration - self.warmup_iters) / self.decay_iters, 1.0))
