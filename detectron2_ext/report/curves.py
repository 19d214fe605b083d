"""Loss and AP of a run over its iterations, read from metrics.json and plotted."""

import io
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from eva_backbone.errors import InputError

Series = dict[int, float]  # iteration -> value

TASK_NAMES = {"bbox": "boxes", "segm": "masks"}


@dataclass(frozen=True)
class TrainingCurves:
    """``losses`` by name, "total_loss" included; ``ap`` in percent by "bbox/AP", "segm/AP50", ...; both maybe empty."""

    losses: dict[str, Series] = field(default_factory=dict)
    ap: dict[str, Series] = field(default_factory=dict)


def read_curves(metrics_file: str | Path) -> TrainingCurves:
    """Curves of the metrics.json that Detectron2's `JSONWriter` appends to; empty ones if there is no such file.

    A run that was resumed repeats iterations: the last value counts. A last line cut short by a crash is left out.

    Raises:
        InputError: a line that is no record of metrics.
    """
    curves = TrainingCurves()
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
        for name, value in record.items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                continue
            if name == "total_loss" or name.startswith("loss_"):
                curves.losses.setdefault(name, {})[iteration] = float(value)
            elif name.split("/")[-1].startswith("AP") and "/" in name:
                curves.ap.setdefault(name, {})[iteration] = float(value)
    return curves


def plot_losses(losses: dict[str, Series]) -> str:
    """SVG of the total loss and its parts; stages of a cascade are summed into one line ("loss_cls")."""
    figure, axes = _figure("Training loss")
    for name, series in _sum_stages(losses).items():
        width, marker = (2.2 if name == "total_loss" else 1.2), ("." if len(series) < 5 else None)
        axes.plot(list(series), list(series.values()), label=name, linewidth=width, marker=marker)
    axes.set_ylim(bottom=0)
    return _svg(figure, axes)


def plot_ap(ap: dict[str, Series]) -> str:
    """SVG of AP and AP50 over the iterations, for every task ("bbox", "segm")."""
    figure, axes = _figure("AP on held-out images, percent")
    for name, series in sorted(ap.items()):
        task, metric = name.rsplit("/", 1)
        if metric in ("AP", "AP50"):
            label, style = f"{TASK_NAMES.get(task, task)}, {metric}", "o-" if metric == "AP" else "o--"
            axes.plot(list(series), list(series.values()), style, label=label, markersize=4)
    axes.set_ylim(0, 100)
    return _svg(figure, axes)


def _sum_stages(losses: dict[str, Series]) -> dict[str, Series]:
    summed: dict[str, Series] = {}
    for name, series in losses.items():
        target = summed.setdefault(name.partition("_stage")[0], {})
        for iteration, value in series.items():
            target[iteration] = target.get(iteration, 0.0) + value
    return summed


def _figure(title: str) -> tuple[Figure, object]:
    figure = Figure(
        figsize=(6.4, 4.0), layout="constrained"
    )  # no pyplot: nothing is kept open, no display is asked for
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("iteration")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure, axes: object) -> str:
    axes.set_xlim(left=0)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
