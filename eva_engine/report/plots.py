"""Curves of a run drawn as SVG."""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .curves import TASK_NAMES, Series, TrainingCurves, is_per_class

MAX_POINTS = 300  # of a curve
MAX_LINES = 8  # of a plot


def plot_curves(curves: TrainingCurves) -> list[str]:
    """SVG text of every plot there is something for: losses, metrics by task, learning rate."""
    plots = [plot_losses(curves.losses)] if curves.losses else []
    by_task: dict[str, dict[str, Series]] = {}
    for name, series in curves.metrics.items():
        if not is_per_class(name, curves.metrics):
            task, _, metric = name.rpartition("/")
            by_task.setdefault(task, {})[metric] = series
    plots += [plot_metrics(task, metrics) for task, metrics in by_task.items()]
    if "lr" in curves.other:
        plots.append(plot_lr(curves.other["lr"]))
    return plots


def plot_losses(losses: dict[str, Series]) -> str:
    """SVG of the total loss and its parts; stages of a cascade are summed into one line ("loss_cls").

    Lines are running means over a twentieth of the run; the total's single values lie behind in a pale tone.
    """
    figure, axes = _figure("Training loss")
    total_first = sorted(_sum_stages(losses).items(), key=lambda item: item[0] != "total_loss")
    for name, series in total_first:
        width, marker = (2.2 if name == "total_loss" else 1.2), ("." if len(series) < 5 else None)
        thin = _thinned(series)
        values = _running_mean(list(thin.values()), len(thin) // 20)
        (line,) = axes.plot(list(thin), values, label=name, linewidth=width, marker=marker)
        if name == "total_loss":
            axes.plot(list(thin), list(thin.values()), linewidth=0.8, alpha=0.3, color=line.get_color(), zorder=1)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    return _svg(figure, axes)


def plot_metrics(task: str, metrics: dict[str, Series]) -> str:
    """SVG of the metrics of one task over the iterations; the scale is 0 to 100 where they look like percentages."""
    values = [value for series in metrics.values() for value in series.values()]
    percent = looks_like_percent(values)
    figure, axes = _figure(f"Evaluation: {TASK_NAMES.get(task, task)}" + (", percent" if percent else ""))
    for number, (name, series) in enumerate(list(metrics.items())[:MAX_LINES]):
        width, order = (2.2, 3) if number == 0 else (1.2, 2)
        axes.plot(list(series), list(series.values()), "o-", label=name, markersize=4, linewidth=width, zorder=order)
    if percent:
        axes.set_ylim(0, 100)
    return _svg(figure, axes)


def plot_lr(series: Series) -> str:
    """SVG of the learning rate."""
    figure, axes = _figure("Learning rate")
    thin = _thinned(series)
    axes.plot(list(thin), list(thin.values()), label="lr", marker="." if len(thin) < 5 else None)
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    return _svg(figure, axes)


def looks_like_percent(values: list[float]) -> bool:
    """Whether all lie in 0..100 and some are above 1, which a share of 1 is not."""
    return bool(values) and min(values) >= 0 and 1 < max(values) <= 100


def _sum_stages(losses: dict[str, Series]) -> dict[str, Series]:
    summed: dict[str, Series] = {}
    for name, series in losses.items():
        target = summed.setdefault(name.partition("_stage")[0], {})
        for iteration, value in series.items():
            target[iteration] = target.get(iteration, 0.0) + value
    return summed


def _thinned(series: Series) -> Series:
    """Means of neighbours, so that at most MAX_POINTS are left; each at the last iteration it covers."""
    items, size = list(series.items()), -(-len(series) // MAX_POINTS)
    groups = [items[start : start + size] for start in range(0, len(items), size)]
    return {group[-1][0]: sum(value for _, value in group) / len(group) for group in groups}


def _running_mean(values: list[float], half: int) -> list[float]:
    """Mean of each value with up to `half` on either side."""
    windows = (values[max(0, at - half) : at + half + 1] for at in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _figure(title: str) -> tuple[Figure, Axes]:
    # No pyplot: nothing is kept open, no display is asked for.
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("iteration")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure, axes: Axes) -> str:
    axes.set_xlim(left=0)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
