"""All writers of a run."""

import importlib.util
from pathlib import Path

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
