"""What is compared: a model in a format and with a type of weights, and its figures."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

# Formats by name. Both of PyTorch run the weights themselves, the others a file that is exported first.
PYTORCH_FORMATS = ("torch", "compile")
FORMATS = (*PYTORCH_FORMATS, "onnx", "openvino")


@dataclass(frozen=True)
class Variant:
    """A format with a type of weights.

    Attributes:
        format: One of `FORMATS`.
        dtype: "float32", "bfloat16", "float16" or "int8".
    """

    format: str
    dtype: str

    @property
    def is_exported(self) -> bool:
        """Whether a file is exported and run."""
        return self.format not in PYTORCH_FORMATS

    def __str__(self) -> str:
        return f"{self.format} {self.dtype}"


@dataclass(frozen=True)
class Round:
    """One pass over the images in one variant.

    Attributes:
        seconds: Time of each image from the prepared pixels to the result.
        processor_seconds: Processor time of all of them together.
        total_seconds: Time of all of them, with reading and preparing the files.
    """

    seconds: Sequence[float]
    processor_seconds: float
    total_seconds: float


@dataclass
class Figures:
    """What was measured of a variant.

    Attributes:
        load_seconds: Time until the model was loaded.
        first_seconds: Time of the first prediction, which compiles or reserves memory.
        rounds: The rounds after that.
        peak_bytes: Peak resident memory of its process, Python and its packages included.
        metrics: Accuracy by name, or empty.
        problem: Why it could not be measured, or "".
    """

    load_seconds: float = 0.0
    first_seconds: float = 0.0
    rounds: list[Round] = field(default_factory=list)
    peak_bytes: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""

    @property
    def latencies(self) -> list[float]:
        """Seconds of each prediction in all rounds."""
        return list(chain.from_iterable(one.seconds for one in self.rounds))

    @property
    def photos_per_second(self) -> float:
        """Files per second, one after the other, read and prepared included: the median of the rounds."""
        return statistics.median(len(one.seconds) / one.total_seconds for one in self.rounds)

    @property
    def processor_seconds(self) -> float:
        """Processor time of an image: the median of the rounds."""
        return statistics.median(one.processor_seconds / len(one.seconds) for one in self.rounds)

    def faster_than(self, other: "Figures") -> float:
        """Return how many times as fast as another variant this is: the median of the rounds, each with its own."""
        pairs = zip(other.rounds, self.rounds, strict=True)
        return statistics.median(sum(theirs.seconds) / sum(ours.seconds) for theirs, ours in pairs)

    def cheaper_than(self, other: "Figures") -> float:
        """Return the same ratio of processor times, on which other programs have less influence."""
        pairs = zip(other.rounds, self.rounds, strict=True)
        return statistics.median(theirs.processor_seconds / ours.processor_seconds for theirs, ours in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures for JSON."""
        if self.problem:
            return {"problem": self.problem}
        low, median, high = quartiles(self.latencies)
        return {
            "latency_seconds": {"median": median, "quartiles": [low, high]},
            "processor_seconds": self.processor_seconds,
            "photos_per_second": self.photos_per_second,
            "load_seconds": self.load_seconds,
            "first_seconds": self.first_seconds,
            "peak_bytes": self.peak_bytes,
            "metrics": dict(self.metrics),
            "rounds": [list(one.seconds) for one in self.rounds],
        }


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high
