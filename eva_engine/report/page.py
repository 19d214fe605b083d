"""The HTML page itself: one file, pictures and styles inside, readable on a laptop and on a phone."""

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

    Curves come from ``output_dir``/metrics.json, as far as it is there. Every text is escaped.

    Args:
        results: metrics by the name of the data they were measured on; a missing or non-finite value shows as a dash.
            Those of single classes are left out.
        summary: a sentence or two below the title.
        pairs: pictures, ground truth beside prediction.
        pairs_note: how they were chosen.
        facts: what is worth knowing about the run, name to value.
        command: the shell commands that make this run again.
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
    """Metrics with a number somewhere, those of single classes left out, in the order of their first appearance."""
    tables = [metrics for by_task in results.values() for metrics in by_task.values()]
    return list(
        dict.fromkeys(
            name
            for metrics in tables
            for name, value in metrics.items()
            if _is_number(value) and not is_per_class(name, metrics)
        )
    )


def _rows(results: Mapping[str, Results], names: Sequence[str]) -> list[tuple[str, str, list[str]]]:
    rows = []
    for data, by_task in results.items():
        for task, metrics in by_task.items():
            percent = looks_like_percent([value for value in metrics.values() if _is_number(value)])
            cells = [_number(metrics.get(name), ".1f" if percent else ".4g") for name in names]
            rows.append((data, TASK_NAMES.get(task, task), cells))
    return rows


def _number(value: float | None, form: str) -> str:
    return format(value, form) if _is_number(value) else "-"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _data_uri(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="WEBP", quality=88, method=4)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
