"""Build the metric writers of a run."""

import importlib.util
import logging
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from detectron2.utils.events import EventWriter, TensorboardXWriter, get_event_storage
from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError, install_extra

from .metrics_file import MetricsFile
from .progress import ProgressLine
from .scalars import NewScalars
from .trackers import Tracker

logger = logging.getLogger(__name__)


# Keys of `train` that name a project at a tracker, and the package and extra that they need.
_TRACKERS = {"wandb_project": "wandb", "trackio_project": "trackio", "mlflow_experiment": "mlflow"}


def check_writers(cfg: DictConfig) -> None:
    """Check, before a model is built, that the packages for all requested trackers are installed.

    Raises:
        InputError: One is not.
    """
    for key, package in _TRACKERS.items():
        if cfg.train.get(key) and importlib.util.find_spec(package) is None:
            raise InputError(
                f"train.{key} is {cfg.train[key]!r}, but the package {package} is not installed; run "
                f"{install_extra(package)}, or leave train.{key} empty"
            )


def build_writers(cfg: DictConfig, start_iter: int) -> list[EventWriter]:
    """Build the writers of progress lines, of metrics.json and TensorBoard events in `train.output_dir`, and trackers.

    Call it on rank 0 only. Entries of `start_iter` and later iterations in existing files are dropped.

    Raises:
        InputError: See `check_writers`.
    """
    check_writers(cfg)
    output_dir = Path(cfg.train.output_dir)
    writers: list[EventWriter] = [
        ProgressLine(cfg.train.max_iter, str(cfg.train.device)),  # first, because it puts scalars that the others write
        MetricsFile(output_dir / "metrics.json", start_iter),
        TensorBoardEvents(str(output_dir), start_iter),
    ]
    for key, name in _TRACKERS.items():
        if cfg.train.get(key):
            settings: Any = OmegaConf.to_container(cfg.train)
            settings["hooks"] = str(settings.get("hooks"))  # they can contain classes
            writers.append(Tracker(name, cfg.train[key], output_dir, start_iter, {"train": settings}))
    return writers


class TensorBoardEvents(TensorboardXWriter):
    """Detectron2's TensorBoard writer, but with unsmoothed values that are on disk when `write` returns.

    A resumed run makes TensorBoard discard what earlier processes logged from `start_iter` on, so that there is one
    curve. If the events cannot be written, for example because a file may not be larger, the run continues without.
    """

    def __init__(self, log_dir: str, start_iter: int = 0) -> None:
        super().__init__(log_dir, purge_step=start_iter)
        self._last_write = math.inf  # so that the parent class writes no scalars, only images and histograms
        self._new = NewScalars()
        self._has_failed = False

    def write(self) -> None:
        """Write all new values; after the first failure, which is logged, do nothing."""
        if self._has_failed:
            return
        try:
            self._write()
        except OSError as error:
            self._has_failed = True
            folder, iteration = self._writer_args["log_dir"], get_event_storage().iter
            logger.warning(
                "TensorBoard's events in %s end before iteration %d, because they cannot be written (%s); metrics.json "
                "continues.",
                folder,
                iteration,
                error.strerror,
            )

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # of a file that could not be written, which was logged
            super().close()

    def _write(self) -> None:
        for iteration, values in self._new.take(get_event_storage()):
            for name, value in values.items():
                self._writer.add_scalar(name, value, iteration)
        super().write()
        self._writer.flush()
