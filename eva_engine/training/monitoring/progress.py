"""One line of the log that says how training is getting on."""

import logging
import math
import resource
import sys
from collections.abc import Iterable

import torch
from detectron2.utils.events import EventStorage, EventWriter, get_event_storage

from .scalars import values_since

logger = logging.getLogger(__name__)

ETA_WINDOW = 100  # iterations


class ProgressLine(EventWriter):
    """Logs iteration, time left, losses, images/s, share of time spent waiting for data, lr and peak memory.

    Values are means over the iterations since the line before, without those that are not finite; the stages of a
    cascade are summed into one number. Losses are the scalars with "loss" and no "/" in their name. Time left is the
    mean of the last 100 iterations times what is to come: the scalar "time" does not count evaluations or checkpoints.
    Gradient norm and skipped steps appear if there are any.

    It also puts "eta_seconds" and "peak_memory_gib" into the storage, for the writers after it.

    Args:
        max_iter: iterations of the whole run.
        device: whose memory is watched, "cuda:0" or "cpu"; on the CPU the peak is that of this process's memory.
    """

    def __init__(self, max_iter: int, device: str) -> None:
        self._max_iter = max_iter
        self._device = device
        self._next = 0

    def write(self) -> None:
        """Log the newest iteration, if it has not been yet."""
        storage = get_event_storage()
        newest = max(
            (storage.latest()[name][1] for name in ("total_loss", "data_time") if name in storage.latest()), default=-1
        )
        if newest < self._next:
            return
        eta = self._seconds_left(storage, newest)
        memory = peak_memory_gib(self._device)
        if math.isfinite(eta):
            storage.put_scalar("eta_seconds", eta, smoothing_hint=False, cur_iter=newest)
        storage.put_scalar("peak_memory_gib", memory, smoothing_hint=False, cur_iter=newest)
        width = len(str(self._max_iter))
        parts = [
            f"{newest + 1:{width}}/{self._max_iter}  eta {format_seconds(eta):>8}",
            self._losses(storage),
            *self._speed(storage),
            f"{memory:.3g} GiB",
            *self._steps(storage),
        ]
        logger.info("  ".join(parts))
        self._next = newest + 1

    def _seconds_left(self, storage: EventStorage, newest: int) -> float:
        return _mean(values_since(storage, "time", newest - ETA_WINDOW + 1).values()) * (self._max_iter - newest - 1)

    def _losses(self, storage: EventStorage) -> str:
        summed: dict[str, float] = {}
        for name in storage.histories():
            if "loss" in name and "/" not in name and name != "total_loss":
                label = name.removeprefix("loss_").partition("_stage")[0]
                summed[label] = summed.get(label, 0.0) + self._recent(storage, name)
        total = self._recent(storage, "total_loss")
        return " ".join([f"loss {format_number(total)}", *(f"{k} {format_number(v)}" for k, v in summed.items())])

    def _speed(self, storage: EventStorage) -> list[str]:
        times, images, waits = (values_since(storage, name, self._next) for name in ("time", "images", "data_time"))
        seconds = sum(times.values())
        if not seconds:
            return []
        rate = f"{format_number(sum(images.get(at, 0.0) for at in times) / seconds)} img/s"
        share = min(sum(waits.get(at, 0.0) for at in times) / seconds, 1.0)
        return [rate, f"wait {share:3.0%}"]

    def _steps(self, storage: EventStorage) -> list[str]:
        latest = storage.latest()
        parts = [f"lr {latest['lr'][0]:.1e}"] if "lr" in latest else []
        if "grad_norm" in latest:
            parts.append(f"grad {format_number(self._recent(storage, 'grad_norm'))}")
        if latest.get("skipped_steps", (0, 0))[0] > 0:
            parts.append(f"skipped {latest['skipped_steps'][0]:.0f}")
        return parts

    def _recent(self, storage: EventStorage, name: str) -> float:
        return _mean(values_since(storage, name, self._next).values())


def format_seconds(seconds: float) -> str:
    """ "0:01:27", "12:34:56", from a day on "3d 04:12"; "-" if not known."""
    if not math.isfinite(seconds):
        return "-"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}d {hour:02}:{minute:02}" if days else f"{hours}:{minute:02}:{second:02}"


def format_number(value: float) -> str:
    """Three digits in four columns: "0.69", "4.50", "12.3", " 123"; what does not fit, "1.2e-05"."""
    if not math.isfinite(value):
        return f"{value:4}"
    if value and not 0.005 <= abs(value) < 99999:
        return f"{value:.1e}"
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:4.{digits}f}"


def _mean(values: Iterable[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


GIB = 2**30


def peak_memory_gib(device: str) -> float:
    """Peak in GiB of this process: tensors on `device` if it is a CUDA device, else its whole resident memory."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / GIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / GIB
