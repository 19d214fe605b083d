from detectron2.config import LazyCall as L

from eva_video.schedule import LaggedWarmupCosine


def train_for_epochs(train, epochs, warmup_epochs, iters_per_epoch, start, end):
    """Set the length of `train`, with a checkpoint and an evaluation after each epoch; return the schedule.

    The learning-rate factor grows linearly from `start` to 1 and then decays along half a cosine to `end`. If
    `train.max_iter` is overridden, the decay adjusts to it and the warm-up keeps its length.
    """
    train.max_iter = epochs * iters_per_epoch
    train.eval_period = train.checkpointer.period = iters_per_epoch
    return L(LaggedWarmupCosine)(
        max_iter="${train.max_iter}", warmup_iters=warmup_epochs * iters_per_epoch, start=start, end=end
    )
