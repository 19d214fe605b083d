"""Read the scalars that a run has logged over its iterations from metrics.json."""

import math
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.metrics_records import parse_record, read_lines

Series = dict[int, float]  # iteration -> value

TASK_NAMES = {"bbox": "boxes", "segm": "masks", "sem_seg": "pixel classes"}


@dataclass(frozen=True)
class TrainingCurves:
    """Scalars of a run by name; each dictionary may be empty.

    Attributes:
        losses: "total_loss" and its parts: names that contain "loss" but no "/".
        metrics: Metrics of evaluations, such as "bbox/AP" or "imagenet/top1": names with a "/" that were logged at
            least once without a training iteration, as the last evaluation always is. This excludes statistics such as
            "roi_head/num_fg_samples".
        other: All other scalars: "lr", "time", "images", "peak_memory_gib", ...
    """

    losses: dict[str, Series] = field(default_factory=dict)
    metrics: dict[str, Series] = field(default_factory=dict)
    other: dict[str, Series] = field(default_factory=dict)


def read_curves(metrics_file: str | Path) -> TrainingCurves:
    """Read the curves of a metrics.json that this package or Detectron2 has written.

    If an iteration was logged twice, the later value is used. A last line that was truncated by a crash and values that
    are not finite numbers are skipped.

    Returns:
        The curves, all empty if the file does not exist.

    Raises:
        InputError: A line is not a record of metrics.
    """
    series: dict[str, Series] = {}
    evaluated: set[str] = set()
    path = Path(metrics_file)
    damaged = 0
    for number, line in enumerate(read_lines(path) if path.is_file() else (), start=1):
        if damaged:
            raise InputError(
                f"{path}, line {damaged}: expected a JSON object with the key iteration; use the metrics.json of a run."
            )
        record = parse_record(line)
        if record is None:
            damaged = number
            continue
        iteration = record.pop("iteration")
        if not {"total_loss", "data_time"} & record.keys():
            evaluated |= {name for name in record if "/" in name}
        for name, value in record.items():
            if isinstance(value, int | float) and math.isfinite(value):
                series.setdefault(name, {})[iteration] = float(value)
    curves = TrainingCurves()
    for name, values in series.items():
        if "loss" in name and "/" not in name:
            curves.losses[name] = values
        elif name in evaluated:
            curves.metrics[name] = values
        else:
            curves.other[name] = values
    return curves


def is_per_class(name: str, names: Container[str]) -> bool:
    """Return whether `name` is the value of a metric in `names` for one class, as "AP-person" is for "AP"."""
    stem, dash, _ = name.partition("-")
    return bool(dash) and stem in names
