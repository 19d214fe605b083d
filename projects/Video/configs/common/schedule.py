from detectron2.config import LazyCall as L

from eva_engine.training.optimization import LaggedWarmupCosine


def train_for_epochs(train, epochs, warmup_epochs, iters_per_epoch, start, end):
    """Set the length of `train`, with a checkpoint and an evaluation after each epoch; returns its schedule.

    The learning-rate factor grows linearly from `start` to 1, then falls along half a cosine towards `end`. It follows
    another `train.max_iter`; the warm-up stays as long.
    """
    train.max_iter = epochs * iters_per_epoch
    train.eval_period = train.checkpointer.period = iters_per_epoch
    return L(LaggedWarmupCosine)(
        max_iter="${train.max_iter}", warmup_iters=warmup_epochs * iters_per_epoch, start=start, end=end
    )
