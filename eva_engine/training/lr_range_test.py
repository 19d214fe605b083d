"""Find a learning rate: train a few iterations with rates that grow exponentially, and watch the loss."""

import json
import logging
import math
from pathlib import Path

from detectron2.engine import HookBase
from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf

from eva_engine.atomic import atomic_path

from .hooks import ScheduleHook
from .run import build_run, check_run

logger = logging.getLogger(__name__)

LOWEST, HIGHEST = 1e-3, 1e2  # factors of the learning rates of the recipe
_SMOOTHING = 0.9  # of the running mean of the loss
_DIVERGED = 4.0  # times the lowest loss


def lr_range_test(cfg: DictConfig, num_iterations: int, folder: str) -> None:
    """Train from the start weights with growing learning rates until the loss diverges, and log a suggestion.

    The rates of all groups keep their ratios. Nothing is kept but lr_range_test.json and .svg in `folder`. Source of
    the method: L. N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017.

    Args:
        cfg: Recipe of the run, with `train.output_dir` set to a temporary folder.
        num_iterations: Largest number of iterations.
        folder: `train.output_dir` of the run itself.

    Raises:
        InputError: Any error that would stop the run itself.
    """
    cfg.train.max_iter = num_iterations
    cfg.lr_multiplier = None  # its warm-up may be longer
    run = build_run(cfg, check_run(cfg))
    test = _RangeTest()
    run.trainer.register_hooks([ScheduleHook("lr", lambda where: LOWEST * (HIGHEST / LOWEST) ** where), test])
    run.trainer.train(0, num_iterations)
    if comm.is_main_process():
        _report(cfg, test, Path(folder))


class _RangeTest(HookBase):
    """Record the loss of each iteration, and stop when it has diverged."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.smooth: list[float] = []
        self._mean = 0.0

    def after_step(self) -> None:
        latest = self.trainer.storage.latest()
        loss = latest["total_loss"][0]
        self._mean = _SMOOTHING * self._mean + (1 - _SMOOTHING) * loss
        smooth = self._mean / (1 - _SMOOTHING ** (len(self.losses) + 1))
        # The loss is the mean over all processes, so that all of them stop.
        if not math.isfinite(smooth) or smooth > _DIVERGED * min([smooth, *self.smooth]):
            self.trainer.stopping = True
        if math.isfinite(loss):
            self.rates.append(latest["lr"][0])
            self.losses.append(loss)
            self.smooth.append(smooth)


def suggest(rates: list[float], smooth: list[float]) -> tuple[float, float] | None:
    """Return the rate of the steepest fall of the smoothed loss, and that of its minimum; None if it does not fall."""
    lowest = smooth.index(min(smooth)) if smooth else 0
    if lowest < 1:
        return None
    slopes = []
    for number in range(lowest):
        ratio = math.log(rates[number + 1] / rates[number])
        slopes.append((smooth[number + 1] - smooth[number]) / ratio)
    return rates[slopes.index(min(slopes))], rates[lowest]


def _report(cfg: DictConfig, test: _RangeTest, folder: Path) -> None:
    from eva_engine.report.plots import plot_lr_range  # slow to import, and only needed now

    found = suggest(test.rates, test.smooth)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "lr_range_test.json") as partial:
        content = {"lr": test.rates, "loss": test.losses, "smoothed_loss": test.smooth}
        partial.write_text(json.dumps({**content, "suggestion": found and found[0]}), encoding="utf-8")
    plot = folder / "lr_range_test.svg"
    with atomic_path(plot) as partial:
        partial.write_text(plot_lr_range(test.rates, test.losses, test.smooth, found), encoding="utf-8")
    if found is None:
        logger.info("Learning-rate range test: the loss did not fall, see %s; check data and weights", plot)
        return
    factor = found[0] / test.rates[0] * LOWEST
    changes = [f"{key}={value * factor:.2g}" for key, value in _rate_keys(cfg.optimizer, "optimizer")]
    logger.info(
        "Learning-rate range test: the loss falls fastest at %.2g and is lowest at %.2g, the recipe has %.2g; "
        "suggestion: %s (plot: %s)",
        *found,
        test.rates[0] / LOWEST,
        " ".join(changes),
        plot,
    )


def _rate_keys(node: DictConfig, path: str) -> list[tuple[str, float]]:
    """Return the learning rates of a config of an optimizer by their keys."""
    found = []
    for name in map(str, node):
        if OmegaConf.is_interpolation(node, name) or OmegaConf.is_missing(node, name):
            continue
        value = node[name]
        if isinstance(value, DictConfig):
            found += _rate_keys(value, f"{path}.{name}")
        elif (name == "lr" or name.endswith("_lr")) and isinstance(value, int | float):
            found.append((f"{path}.{name}", float(value)))
    return found
