"""Progress of the training in one line of the log."""

import logging
import math
import sys
from collections.abc import Iterable
from typing import Any

import torch
from detectron2.utils.events import EventStorage, EventWriter, get_event_storage

from .scalars import values_since

resource: Any
try:
    import resource
except ModuleNotFoundError:  # Windows
    resource = None

logger = logging.getLogger(__name__)

ETA_WINDOW = 100  # iterations
GIB = 2**30


class ProgressLine(EventWriter):
    """Log iteration, time left, losses, images/s, fraction of time spent waiting for data, lr and peak memory.

    Values are means over the iterations since the previous line, without non-finite ones; the stages of a cascade are
    summed into one number. Losses are the scalars with "loss" and no "/" in their name. The time left is the number of
    remaining iterations times the mean time of the last 100: the scalar "time" includes neither evaluations nor
    checkpoints. Gradient norm and skipped steps are logged if there are any.

    "eta_seconds" and "peak_memory_gib" are also put into the storage, for the writers that follow.

    Args:
        max_iter: Number of iterations of the run.
        device: Device whose memory is measured, "cuda:0" or "cpu"; on the CPU it is the memory of this process.
    """

    def __init__(self, max_iter: int, device: str) -> None:
        self._max_iter = max_iter
        self._device = device
        self._next = 0  # first iteration of the next line

    def write(self) -> None:
        """Log the newest iteration, unless it has been logged before."""
        storage = get_event_storage()
        latest = storage.latest()
        newest = max((latest[name][1] for name in ("total_loss", "data_time") if name in latest), default=-1)
        if newest < self._next:
            return
        eta = self._seconds_left(storage, newest)
        memory = peak_memory_gib(self._device)
        if math.isfinite(eta):
            storage.put_scalar("eta_seconds", eta, smoothing_hint=False, cur_iter=newest)
        if math.isfinite(memory):
            storage.put_scalar("peak_memory_gib", memory, smoothing_hint=False, cur_iter=newest)
        width = len(str(self._max_iter))
        columns = [
            f"{newest + 1:{width}}/{self._max_iter}  eta {format_seconds(eta):>8}",
            self._losses(storage),
            *self._speed(storage),
            *([f"{memory:.3g} GiB"] if math.isfinite(memory) else []),
            *self._steps(storage),
        ]
        logger.info("  ".join(columns))
        self._next = newest + 1

    def _seconds_left(self, storage: EventStorage, newest: int) -> float:
        times = values_since(storage, "time", newest - ETA_WINDOW + 1)
        return _mean(times.values()) * (self._max_iter - newest - 1)

    def _losses(self, storage: EventStorage) -> str:
        sums: dict[str, float] = {}
        for name in storage.histories():
            if "loss" in name and "/" not in name and name != "total_loss":
                label = name.removeprefix("loss_").partition("_stage")[0]
                sums[label] = sums.get(label, 0.0) + self._recent_mean(storage, name)
        words = [f"loss {format_number(self._recent_mean(storage, 'total_loss'))}"]
        words += [f"{label} {format_number(value)}" for label, value in sums.items()]
        return " ".join(words)

    def _speed(self, storage: EventStorage) -> list[str]:
        # "time" is not measured in the first iterations of a process; images and waits count where it is.
        times = values_since(storage, "time", self._next)
        images = values_since(storage, "images", self._next)
        waits = values_since(storage, "data_time", self._next)
        seconds = sum(times.values())
        if not seconds:
            return []
        num_images = sum(images.get(iteration, 0.0) for iteration in times)
        wait_seconds = sum(waits.get(iteration, 0.0) for iteration in times)
        wait_fraction = min(wait_seconds / seconds, 1.0)
        return [f"{format_number(num_images / seconds)} img/s", f"wait {wait_fraction:3.0%}"]

    def _steps(self, storage: EventStorage) -> list[str]:
        latest = storage.latest()
        columns = []
        if "lr" in latest:
            columns.append(f"lr {latest['lr'][0]:.1e}")
        if "grad_norm" in latest:
            columns.append(f"grad {format_number(self._recent_mean(storage, 'grad_norm'))}")
        if latest.get("skipped_steps", (0, 0))[0] > 0:
            columns.append(f"skipped {latest['skipped_steps'][0]:.0f}")
        return columns

    def _recent_mean(self, storage: EventStorage, name: str) -> float:
        return _mean(values_since(storage, name, self._next).values())


def format_seconds(seconds: float) -> str:
    """Format a duration: "0:01:27", "12:34:56", "3d 04:12" from one day on, "-" if unknown."""
    if not math.isfinite(seconds):
        return "-"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d {hour:02}:{minute:02}"
    return f"{hours}:{minute:02}:{second:02}"


def format_number(value: float) -> str:
    """Format three digits in four columns: "0.69", "4.50", "12.3", " 123"; numbers that do not fit as "1.2e-05"."""
    if not math.isfinite(value):
        return f"{value:4}"
    size = abs(value)
    if size != 0 and not 0.005 <= size < 99999:
        return f"{value:.1e}"
    # The limits are those at which rounding adds a digit.
    if size < 9.995:
        return f"{value:4.2f}"
    if size < 99.95:
        return f"{value:4.1f}"
    return f"{value:4.0f}"


def _mean(values: Iterable[float]) -> float:
    """Mean of the finite values; NaN if there are none."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def peak_memory_gib(device: str) -> float:
    """Return the peak memory of this process in GiB: tensors on a CUDA device, else the resident memory.

    It is NaN on Windows without a CUDA device.
    """
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / GIB
    if resource is None:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return peak * unit / GIB
