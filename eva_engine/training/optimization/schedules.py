"""Learning-rate and weight-decay schedules of the published recipes.

All are factors of a group's own value, to be used like fvcore's: as `lr_multiplier` or `weight_decay_multiplier` of a
recipe. They count iterations, because the published formulas do.
"""

from typing import Literal

from fvcore.common.param_scheduler import CosineParamScheduler, LinearParamScheduler, ParamScheduler

from eva_backbone.errors import InputError


class IterationSchedule(ParamScheduler):
    """A factor for every iteration.

    Args:
        max_iter: iterations of the run.
        warmup_iters: how many of them warm up.

    Raises:
        InputError: a warm-up longer than the run.
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
        """Factor at `where` = iteration / max_iter."""
        return self.at(round(where * self.max_iter))

    def at(self, iteration: int) -> float:
        """Factor of iteration 0, 1, ..."""
        raise NotImplementedError


class WarmupCosine(IterationSchedule):
    """Classification and masked image modelling: linear warm-up, then half a cosine (or a line) down.

    The warm-up has its first iteration at `start` and its last one at 1, as has the first iteration behind it. A cosine
    would reach `end` one iteration after the last; a line does so in the last.

    Args:
        max_iter: iterations of the run.
        warmup_iters: iterations of the warm-up.
        start: factor of the first iteration.
        end: factor of the end. Above 1 for a weight decay that grows.
        shape: what follows the warm-up.
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
            raise InputError(f"shape={shape} is no schedule; choose cosine or linear")
        self.warmup = LinearParamScheduler(start, 1.0)
        self.after = (CosineParamScheduler if shape == "cosine" else LinearParamScheduler)(1.0, end)
        num_after = max_iter - warmup_iters
        self.iters_to_end = max(num_after if shape == "cosine" else num_after - 1, 1)

    def at(self, iteration: int) -> float:
        """Factor of the learning rate in iteration `iteration`, from 0 on."""
        if iteration < self.warmup_iters:
            return self.warmup(iteration / max(self.warmup_iters - 1, 1))
        return self.after(min((iteration - self.warmup_iters) / self.iters_to_end, 1.0))


class LaggedWarmupCosine(IterationSchedule):
    """Video: linear warm-up that reaches 1 behind its last iteration, then half a cosine, all one iteration late.

    The value for an iteration was set after the one before, from that one's number; so the first value is used twice.

    Args:
        max_iter: iterations of the run.
        warmup_iters: iterations of the warm-up.
        start: factor of the first iterations; of no effect without a warm-up.
        end: factor of the end.
    """

    def __init__(self, max_iter: int, warmup_iters: int = 0, start: float = 0.0, end: float = 0.01) -> None:
        super().__init__(max_iter, warmup_iters)
        self.warmup = LinearParamScheduler(start, 1.0)
        self.after = CosineParamScheduler(1.0, end)

    def at(self, iteration: int) -> float:
        """Factor of the learning rate in iteration `iteration`, from 0 on."""
        update = max(iteration - 1, 0)
        if update < self.warmup_iters:
            return self.warmup(update / self.warmup_iters)
        return self.after(min((update - self.warmup_iters) / max(self.max_iter - self.warmup_iters, 1), 1.0))


class WarmupPolynomial(IterationSchedule):
    """Semantic segmentation: a polynomial down to 0 from the first iteration on, scaled down during the warm-up.

    Args:
        max_iter: iterations of the run.
        warmup_iters: iterations of the warm-up.
        start: what the warm-up's factor grows from, to 1.
        power: of the polynomial.
    """

    def __init__(self, max_iter: int, warmup_iters: int = 0, start: float = 1e-6, power: float = 1.0) -> None:
        super().__init__(max_iter, warmup_iters)
        self.warmup = LinearParamScheduler(start, 1.0)
        self.power = power

    def at(self, iteration: int) -> float:
        """Factor of the learning rate in iteration `iteration`, from 0 on."""
        factor = max(1.0 - iteration / self.max_iter, 0.0) ** self.power
        return factor * self.warmup(iteration / self.warmup_iters) if iteration < self.warmup_iters else factor
