from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import ConstantParamScheduler, MultiStepParamScheduler


def warmup_then_steps(max_iter, warmup_iters, milestones):
    """Return a schedule that rises linearly from 0.001 to 1 and is then divided by 10 at each of the `milestones`.

    The values are factors of the learning rate. They depend on the fraction of training that is done, so another
    `train.max_iter` stretches the schedule.

    Args:
        max_iter: Number of iterations of the training.
        warmup_iters: Number of iterations of the linear warm-up.
        milestones: One or two iterations.
    """
    return L(WarmupParamScheduler)(
        scheduler=L(MultiStepParamScheduler)(
            values=[1.0, 0.1, 0.01][: len(milestones) + 1], milestones=milestones, num_updates=max_iter
        ),
        warmup_length=warmup_iters / max_iter,
        warmup_method="linear",
        warmup_factor=0.001,
    )


def warmup_then_constant(max_iter, warmup_iters):
    """Return a schedule that rises linearly from 0.001 to 1 in `warmup_iters` of `max_iter` iterations, then stays."""
    return L(WarmupParamScheduler)(
        scheduler=L(ConstantParamScheduler)(value=1.0),
        warmup_length=warmup_iters / max_iter,
        warmup_method="linear",
        warmup_factor=0.001,
    )
