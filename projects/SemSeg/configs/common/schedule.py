from detectron2.config import LazyCall as L

from eva_engine.training.optimization import WarmupPolynomial


def train_for_iterations(train, iterations, warmup_iters):
    """Set the length of `train`; returns its schedule: a line to 0 from the first iteration on, scaled up at first.

    It follows another `train.max_iter`; the warm-up stays as long.
    """
    train.max_iter = iterations
    return L(WarmupPolynomial)(max_iter="${train.max_iter}", warmup_iters=warmup_iters)
