"""The HTML page itself: one file, pictures and styles inside, readable on a laptop and on a phone."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from detectron2_ext.atomic import atomic_path

from .curves import TASK_NAMES, plot_ap, plot_losses, read_curves
from .pictures import PicturePair

Results = Mapping[str, Mapping[str, float]]  # {"bbox": {"AP": 78.1, ...}, "segm": {...}}, percent


def write_report(
    output_dir: str | Path,
    *,
    title: str,
    results: Mapping[str, Results],
    summary: str = "",
    pairs: Sequence[PicturePair] = (),
    facts: Mapping[str, str] | None = None,
    command: str = "",
) -> Path:
    """Write ``output_dir``/index.html and return its path.

    Loss and AP curves come from ``output_dir``/metrics.json, as far as it is there. Every text is escaped.

    Args:
        results: metrics by the name of the data they were measured on; a missing or non-finite value shows as a dash.
        summary: a sentence or two below the title.
        pairs: pictures, ground truth beside prediction.
        facts: what is worth knowing about the run, name to value.
        command: the shell command that makes this page again.
    """
    output_dir = Path(output_dir)
    curves = read_curves(output_dir / "metrics.json")
    plots = [Markup(plot(series)) for plot, series in ((plot_losses, curves.losses), (plot_ap, curves.ap)) if series]
    environment = Environment(
        loader=PackageLoader("detectron2_ext.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    html = environment.get_template("report.html").render(
        title=title,
        summary=summary,
        metrics=_metric_names(results),
        rows=_rows(results),
        plots=plots,
        pairs=[(pair.caption, pair.wide, _data_uri(pair.ground_truth), _data_uri(pair.prediction)) for pair in pairs],
        facts=facts or {},
        command=command,
    )
    page = output_dir / "index.html"
    with atomic_path(page) as partial:
        partial.write_text(html, encoding="utf-8")
    return page


def _metric_names(results: Mapping[str, Results]) -> list[str]:
    """Metrics that have a number somewhere, the per-category ones left out, in the order of their first appearance."""
    items = [item for by_task in results.values() for metrics in by_task.values() for item in metrics.items()]
    return list(dict.fromkeys(name for name, value in items if _is_number(value) and not name.startswith("AP-")))


def _rows(results: Mapping[str, Results]) -> list[tuple[str, str, list[str]]]:
    names = _metric_names(results)
    return [
        (data, TASK_NAMES.get(task, task), [_number(metrics.get(name)) for name in names])
        for data, by_task in results.items()
        for task, metrics in by_task.items()
    ]


def _number(value: float | None) -> str:
    return f"{value:.1f}" if _is_number(value) else "-"


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _data_uri(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="WEBP", quality=88, method=4)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
