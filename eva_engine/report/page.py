"""Write the HTML page: one file with all images and styles, for laptops and phones."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from eva_engine.atomic import atomic_path

from .curves import TASK_NAMES, is_per_class, read_curves
from .image_pairs import ImagePair
from .plots import looks_like_percent, plot_curves

Results = Mapping[str, Mapping[str, float | None]]  # {"bbox": {"AP": 78.1, ...}, "segm": {...}}


def write_report(
    output_dir: str | Path,
    *,
    title: str,
    results: Mapping[str, Results],
    summary: str = "",
    pairs: Sequence[ImagePair] = (),
    pairs_note: str = "",
    facts: Mapping[str, str] | None = None,
    command: str = "",
) -> Path:
    """Write ``output_dir``/index.html and return its path.

    The page has the curves of ``output_dir``/metrics.json, if that file exists. All texts are escaped.

    Args:
        output_dir: Output folder of the run.
        title: Title of the page.
        results: Metrics by the name of the data that they were measured on. A missing or non-finite value is shown as
            a dash; metrics of single classes are not shown.
        summary: One or two sentences below the title.
        pairs: Ground truth next to predictions.
        pairs_note: Sentence on how these images were chosen.
        facts: Facts about the run: values by name.
        command: Shell commands that repeat this run.
    """
    output_dir = Path(output_dir)
    environment = Environment(
        loader=PackageLoader("eva_engine.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    names = _metric_names(results)
    html = environment.get_template("report.html").render(
        title=title,
        summary=summary,
        heading="Average precision, percent" if all(name.startswith("AP") for name in names) else "Results",
        metrics=names,
        rows=_rows(results, names),
        plots=[Markup(plot) for plot in plot_curves(read_curves(output_dir / "metrics.json"))],
        pairs=[(pair.caption, pair.wide, _data_uri(pair.ground_truth), _data_uri(pair.prediction)) for pair in pairs],
        pairs_note=pairs_note,
        facts=facts or {},
        command=command,
    )
    page = output_dir / "index.html"
    with atomic_path(page) as partial:
        partial.write_text(html, encoding="utf-8")
    return page


def _metric_names(results: Mapping[str, Results]) -> list[str]:
    """Return the metrics that have a value in any table, without those of single classes, in order of appearance."""
    names: list[str] = []
    for by_task in results.values():
        for metrics in by_task.values():
            for name, value in metrics.items():
                if _is_number(value) and not is_per_class(name, metrics) and name not in names:
                    names.append(name)
    return names


def _rows(results: Mapping[str, Results], names: Sequence[str]) -> list[tuple[str, str, list[str]]]:
    """Return (data, task, values of the metrics in `names`) for each row of the table."""
    rows = []
    for data, by_task in results.items():
        for task, metrics in by_task.items():
            percent = looks_like_percent([value for value in metrics.values() if _is_number(value)])
            cells = [_format_number(metrics.get(name), ".1f" if percent else ".4g") for name in names]
            rows.append((data, TASK_NAMES.get(task, task), cells))
    return rows


def _format_number(value: float | None, format_spec: str) -> str:
    return format(value, format_spec) if _is_number(value) else "-"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _data_uri(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="WEBP", quality=88, method=4)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
