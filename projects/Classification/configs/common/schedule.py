from detectron2.config import LazyCall as L

from eva_engine.training.optimization import WarmupCosine


def train_for_epochs(train, epochs, warmup_epochs, iters_per_epoch, end):
    """Set the length of training, with a checkpoint and an evaluation after each epoch; return the schedule.

    The learning-rate factor grows linearly from 0 to 1, then falls along half a cosine to `end`. If `train.max_iter` is
    changed later, the schedule follows, but the warm-up keeps its length.
    """
    train.max_iter = epochs * iters_per_epoch
    train.eval_period = iters_per_epoch
    train.checkpointer.period = iters_per_epoch
    return L(WarmupCosine)(max_iter="${train.max_iter}", warmup_iters=warmup_epochs * iters_per_epoch, end=end)
