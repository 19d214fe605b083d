"""Draw the curves of a run, and charts of other sections, as SVG."""

import io
import math
import warnings
from typing import TYPE_CHECKING, Any

from eva_engine.prediction.colors import palette_color

from .curves import TASK_NAMES, Series, TrainingCurves, is_per_class
from .sections import Chart

if TYPE_CHECKING:  # slow to import, and needed only when something is drawn
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_POINTS = 300  # per curve
MAX_LINES = 8  # per plot


def plot_curves(curves: TrainingCurves) -> list[str]:
    """Return the SVG text of each plot that has data: losses, metrics of each task, learning rate."""
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
    """Return an SVG of the total loss and its parts; losses of cascade stages are summed into one line ("loss_cls").

    Lines are running means over about a tenth of the run; the values of the total loss are drawn behind in a pale tone.
    """
    figure, axes = _figure("Training loss")
    summed = _sum_stages(losses)
    names = [name for name in summed if name != "total_loss"]
    if "total_loss" in summed:
        names.insert(0, "total_loss")
    for name in names:
        is_total = name == "total_loss"
        width = 2.2 if is_total else 1.2
        marker = "." if len(summed[name]) < 5 else None
        thin = _downsample(summed[name])
        values = _running_mean(list(thin.values()), len(thin) // 20)
        (line,) = axes.plot(list(thin), values, label=name, linewidth=width, marker=marker)
        if is_total:
            axes.plot(list(thin), list(thin.values()), linewidth=0.8, alpha=0.3, color=line.get_color(), zorder=1)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    return _svg(figure, axes)


def plot_metrics(task: str, metrics: dict[str, Series]) -> str:
    """Return an SVG of the metrics of one task; the scale is 0 to 100 if they look like percentages."""
    values: list[float] = []
    for series in metrics.values():
        values += series.values()
    percent = looks_like_percent(values)
    title = f"Evaluation: {TASK_NAMES.get(task, task)}"
    if percent:
        title += ", percent"
    figure, axes = _figure(title)
    for number, (name, series) in enumerate(list(metrics.items())[:MAX_LINES]):
        width, order = (2.2, 3) if number == 0 else (1.2, 2)  # the first metric is the main one
        axes.plot(list(series), list(series.values()), "o-", label=name, markersize=4, linewidth=width, zorder=order)
    if percent:
        axes.set_ylim(0, 100)
    return _svg(figure, axes)


def plot_lr(series: Series) -> str:
    """Return an SVG of the learning rate."""
    figure, axes = _figure("Learning rate")
    thin = _downsample(series)
    axes.plot(list(thin), list(thin.values()), label="lr", marker="." if len(thin) < 5 else None)
    axes.set_ylim(bottom=0)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    return _svg(figure, axes)


def plot_chart(chart: Chart) -> str:
    """Return an SVG of the lines of a chart, without its title."""
    figure, axes = _figure("", chart.x_label)
    axes.set_ylabel(chart.y_label)
    all_x: list[float] = []
    all_y: list[float] = []
    for line in chart.lines:
        style: dict[str, Any] = {}
        if line.dashed:
            style |= {"color": "0.6", "linestyle": "--"}
        elif line.color is not None:
            style["color"] = [value / 255 for value in palette_color(line.color)]
        marker = "." if len(line.x) < 30 and not line.dashed else None
        axes.plot(line.x, line.y, label=line.name, linewidth=1.6, marker=marker, **style)
        all_x += line.x
        all_y += line.y
    for limits, values in ((axes.set_xlim, all_x), (axes.set_ylim, all_y)):
        measured = [value for value in values if math.isfinite(value)]
        if measured and min(measured) >= 0 and max(measured) <= 1:
            limits(0, 1.02)
    return _svg(figure, axes)


def plot_lr_range(
    rates: list[float], losses: list[float], smooth: list[float], found: tuple[float, float] | None
) -> str:
    """Return an SVG of the losses of a learning-rate range test, with the suggested rate and the best one."""
    figure, axes = _figure("Learning-rate range test")
    axes.plot(rates, losses, linewidth=0.8, alpha=0.3, label="loss", zorder=1)
    axes.plot(rates, smooth, linewidth=2.2, label="running mean")
    for rate, style, name in zip(found or (), ("-", ":"), ("steepest fall", "lowest"), strict=False):
        axes.axvline(rate, linestyle=style, color="gray", label=f"{name}: {rate:.2g}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    return _svg(figure, axes)


def looks_like_percent(values: list[float]) -> bool:
    """Return whether all values are in 0..100 and some are above 1, which fractions are not."""
    return bool(values) and min(values) >= 0 and 1 < max(values) <= 100


def _sum_stages(losses: dict[str, Series]) -> dict[str, Series]:
    summed: dict[str, Series] = {}
    for name, series in losses.items():
        target = summed.setdefault(name.partition("_stage")[0], {})
        for iteration, value in series.items():
            target[iteration] = target.get(iteration, 0.0) + value
    return summed


def _downsample(series: Series) -> Series:
    """Return at most MAX_POINTS means of consecutive values, each at the last iteration that it covers."""
    items = list(series.items())
    size = -(-len(items) // MAX_POINTS)  # values per mean, rounded up
    result = {}
    for start in range(0, len(items), size):
        group = items[start : start + size]
        last_iteration, _ = group[-1]
        result[last_iteration] = sum(value for _, value in group) / len(group)
    return result


def _running_mean(values: list[float], half: int) -> list[float]:
    """Return the mean of each value and up to `half` neighbors on either side."""
    means = []
    for center in range(len(values)):
        window = values[max(0, center - half) : center + half + 1]
        means.append(sum(window) / len(window))
    return means


def _figure(title: str, x_label: str = "iteration") -> "tuple[Figure, Axes]":
    # Without pyplot, which would keep the figure open and may need a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    axes.set_xlabel(x_label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: "Figure", axes: "Axes") -> str:
    if axes.get_xscale() == "linear":
        axes.set_xlim(left=0)
    lines = axes.get_lines()
    names = [str(line.get_label()) for line in lines]
    shown = [(line, name) for line, name in zip(lines, names, strict=True) if not name.startswith("_child")]
    if shown:
        handles, labels = zip(*shown, strict=True)
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
        for entry in legend.get_texts():
            entry.set_parse_math(False)  # a "$" in the name of a class
    file = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # the tables have every name
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]
