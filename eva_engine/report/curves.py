"""Scalars of a run over its iterations, read from metrics.json."""

import json
import math
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from eva_backbone.errors import InputError

Series = dict[int, float]  # iteration -> value

TASK_NAMES = {"bbox": "boxes", "segm": "masks", "sem_seg": "classes of pixels"}


@dataclass(frozen=True)
class TrainingCurves:
    """What a run logged, each by name and maybe empty.

    Attributes:
        losses: "total_loss" and its parts: names with "loss" and no "/".
        metrics: of evaluations, "bbox/AP" or "imagenet/top1": names with a "/" that were logged apart from a training
            iteration, as the last evaluation always is. Statistics such as "roi_head/num_fg_samples" are not.
        other: everything else: "lr", "time", "images", "peak_memory_gib", ...
    """

    losses: dict[str, Series] = field(default_factory=dict)
    metrics: dict[str, Series] = field(default_factory=dict)
    other: dict[str, Series] = field(default_factory=dict)


def read_curves(metrics_file: str | Path) -> TrainingCurves:
    """Curves of a metrics.json, this package's or Detectron2's; empty ones if there is no such file.

    Of an iteration that is there twice the last value counts, a last line cut short by a crash is left out, and so is
    what is no finite number.

    Raises:
        InputError: a line that is no record of metrics.
    """
    series: dict[str, Series] = {}
    evaluated: set[str] = set()
    path = Path(metrics_file)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            iteration = int(record.pop("iteration"))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if number == len(lines):
                break
            raise InputError(
                f"{path}, line {number}: expected a JSON object with the key iteration; give the metrics.json of a run."
            ) from error
        if not {"total_loss", "data_time"} & record.keys():
            evaluated |= {name for name in record if "/" in name}
        for name, value in record.items():
            if isinstance(value, int | float) and math.isfinite(value):
                series.setdefault(name, {})[iteration] = float(value)
    losses = {name: values for name, values in series.items() if "loss" in name and "/" not in name}
    metrics = {name: values for name, values in series.items() if name in evaluated}
    other = {name: values for name, values in series.items() if name not in losses and name not in metrics}
    return TrainingCurves(losses, metrics, other)


def is_per_class(name: str, names: Container[str]) -> bool:
    """Whether `name` is one class's part of a metric in `names`, as "AP-person" is of "AP"."""
    stem, dash, _ = name.partition("-")
    return bool(dash) and stem in names
