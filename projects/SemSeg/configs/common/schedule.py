from detectron2.config import LazyCall as L

from eva_semseg.schedule import WarmupPolynomial


def train_for_iterations(train, iterations, warmup_iters):
    """Set the length of `train` and return its schedule: linear decay to 0 with a warm-up.

    The schedule adapts if `train.max_iter` is changed later; the length of the warm-up stays the same.
    """
    train.max_iter = iterations
    return L(WarmupPolynomial)(max_iter="${train.max_iter}", warmup_iters=warmup_iters)
