"""All writers of a run, and the hook that calls them."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from detectron2.engine import hooks
from detectron2.utils.events import EventWriter
from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError

from .metrics_file import MetricsFile
from .progress import ProgressLine
from .tensorboard import TensorBoardEvents


def check_writers(cfg: DictConfig) -> None:
    """Find out before anything is built whether `build_writers` can do what `cfg` asks for.

    Raises:
        InputError: `train.wandb_project` without the package wandb.
    """
    if cfg.train.wandb_project and importlib.util.find_spec("wandb") is None:
        raise InputError(
            f"train.wandb_project is {cfg.train.wandb_project!r}, but the package wandb is not installed; "
            "run `pip install wandb`, or leave train.wandb_project empty"
        )


def build_writers(cfg: DictConfig, start_iter: int) -> list[EventWriter]:
    """Progress lines, metrics.json and TensorBoard events in `train.output_dir`, Weights & Biases if asked for.

    For the first process only. What files of an earlier start say of `start_iter` and later iterations is dropped.

    Raises:
        InputError: see `check_writers`.
    """
    check_writers(cfg)
    output_dir = Path(cfg.train.output_dir)
    writers = [
        ProgressLine(cfg.train.max_iter, str(cfg.train.device)),  # first: it puts scalars for the others
        MetricsFile(output_dir / "metrics.json", start_iter),
        TensorBoardEvents(str(output_dir), start_iter),
    ]
    if cfg.train.wandb_project:
        from .wandb_writer import WandbWriter

        settings = {"train": OmegaConf.to_container(cfg.train)}
        writers.append(WandbWriter(cfg.train.wandb_project, output_dir, start_iter, settings))
    return writers


class WriteScalars(hooks.PeriodicWriter):
    """Calls the writers every `log_period` iterations and, so that no numbers wait in memory, after each evaluation.

    Register it behind the evaluation and before what writes checkpoints: a checkpoint then never covers an iteration
    whose line is missing.
    """

    def __init__(self, writers: Sequence[EventWriter], log_period: int, eval_period: int = 0) -> None:
        super().__init__(list(writers), period=log_period)
        self._eval_period = eval_period

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        if (
            self._eval_period
            and done % self._eval_period == 0
            and done % self._period
            and done != self.trainer.max_iter
        ):
            for writer in self._writers:
                writer.write()
        super().after_step()
