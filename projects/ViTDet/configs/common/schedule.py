from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler


def warmup_then_steps(max_iter, warmup_iters, milestones):
    """Learning-rate factor: linear from 0.001 to 1 over `warmup_iters`, then divided by 10 at each of the `milestones`.

    The factor is a function of the share of training done: another `train.max_iter` stretches it.
    """
    return L(WarmupParamScheduler)(
        scheduler=L(MultiStepParamScheduler)(
            values=[1.0, 0.1, 0.01][: len(milestones) + 1], milestones=milestones, num_updates=max_iter
        ),
        warmup_length=warmup_iters / max_iter,
        warmup_method="linear",
        warmup_factor=0.001,
    )
