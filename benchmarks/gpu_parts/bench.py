"""What the cases of a part of the GPU benchmark share: device, time limit, figures, and what was skipped and why."""

import gc
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from benchmarks.harness.figure import Dtype, Figure, show_relation, show_value, to_json
from benchmarks.harness.matrix_rate import cpu_matrix_rate, cuda_matrix_rate
from eva_engine.atomic import atomic_path

T = TypeVar("T")


@dataclass
class Bench:
    """Device, time limit and results of one part.

    Args:
        device: "cuda" or "cpu".
        tiny: Use models that a CPU runs in a second, to try the script; the figures mean nothing then.
        deadline: Value of `time.monotonic()` after which no case starts.
        path: File for the results, replaced after every case; None keeps them in memory only.

    Attributes:
        figures: What was measured.
        skipped: The reason for each case that has no figures, by the name of the case.
    """

    device: str
    tiny: bool
    deadline: float
    path: Path | None = None
    figures: list[Figure] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    _rates: dict[Dtype, float] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """Number of timed calls of each contender."""
        return 1 if self.tiny else 3

    def record(self, *figures: Figure) -> None:
        """Print and save figures."""
        for figure in figures:
            value = show_value(figure.ours, figure.unit)
            print(f"  {figure.name}: {figure.quantity} {value} {show_relation(figure)}".rstrip(), flush=True)
        self.figures += figures
        self._save()

    def skip(self, case: str, reason: str) -> None:
        """Print and save why a case has no figures."""
        print(f"  skipped: {case}: {reason}", flush=True)
        self.skipped[case] = reason
        self._save()

    def attempt(self, case: str, function: Callable[[], T]) -> T | None:
        """Return `function()`, or None if it fails or no time is left; the case is then recorded as skipped."""
        if time.monotonic() > self.deadline:
            self.skip(case, "no time left")
            return None
        self.skipped[case] = "stopped at the time limit"  # stays in the file if the process is stopped
        self._save()
        try:
            result = function()
        except torch.OutOfMemoryError:
            self.skip(case, "out of memory")
        except ModuleNotFoundError as error:
            self.skip(case, f"{error.name} is not installed")
        except Exception as error:  # whatever its reason: one case must not end the others
            first_line = str(error).split("\n", 1)[0]
            self.skip(case, f"{type(error).__name__}: {first_line}")
        else:
            del self.skipped[case]
            return result
        free_memory()
        return None

    def matrix_rate(self, dtype: Dtype) -> float:
        """Return the operations per second of large matrix products on the device, measured at the first call."""
        if dtype not in self._rates:
            measure = cuda_matrix_rate if self.device == "cuda" else cpu_matrix_rate
            self._rates[dtype] = measure(getattr(torch, dtype))
        return self._rates[dtype]

    def _save(self) -> None:
        if self.path is None:
            return
        content = {"figures": [to_json(figure) for figure in self.figures], "skipped": self.skipped}
        with atomic_path(self.path) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def free_memory() -> None:
    """Return the memory of tensors that are no longer used to the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
