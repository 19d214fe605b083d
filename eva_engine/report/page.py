"""Write the HTML page: one file with all images and styles, for laptops and phones."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeGuard

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from eva_engine.atomic import atomic_path
from eva_engine.prediction.colors import palette_color

from .curves import TASK_NAMES, is_per_class, read_curves
from .image_pairs import ImagePair
from .plots import looks_like_percent, plot_chart, plot_curves
from .sections import Chart, ImageFigure, ImageGrid, Matrix, Part, Section, Table, fit_images, pairs_grid

# Of the images in base64; a page with everything else stays under 10 MB.
IMAGE_BUDGET = 7_000_000

Results = Mapping[str, Mapping[str, float | None]]  # {"bbox": {"AP": 78.1, ...}, "segm": {...}}


def write_report(
    output_dir: str | Path,
    *,
    title: str,
    results: Mapping[str, Results],
    summary: str = "",
    pairs: Sequence[ImagePair] = (),
    pairs_note: str = "",
    sections: Sequence[Section] = (),
    facts: Mapping[str, str] | None = None,
    command: str = "",
    file_name: str = "index.html",
) -> Path:
    """Write ``output_dir``/``file_name`` and return its path.

    The page has the curves of ``output_dir``/metrics.json, if that file exists. All texts are escaped. If the images
    are too large for a page of 10 MB, all are shrunk.

    Args:
        output_dir: Output folder of the run.
        title: Title of the page.
        results: Metrics by the name of the data that they were measured on. A missing or non-finite value is shown as
            a dash; metrics of single classes are not shown.
        summary: One or two sentences below the title.
        pairs: Ground truth next to predictions.
        pairs_note: Sentence on how these images were chosen.
        sections: Further parts of the page, such as the explanation of an evaluation.
        facts: Facts about the run: values by name.
        command: Shell commands that repeat this run.
        file_name: Name of the page.
    """
    output_dir = Path(output_dir)
    if pairs:
        shown = Section("Ground truth and prediction", [pairs_grid("", pairs)], pairs_note)
        sections = [shown, *sections]
    environment = Environment(
        loader=PackageLoader("eva_engine.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals.update(
        css_color=_css_color, kind_of=_kind_of, draw_chart=_draw_chart, largest_value=_largest_value
    )
    names = _metric_names(results)
    heading = "Results"
    if all(name.startswith("AP") for name in names):
        heading = "Average precision, percent"
    html = environment.get_template("report.html").render(
        title=title,
        summary=summary,
        heading=heading,
        metrics=names,
        rows=_rows(results, names),
        plots=[Markup(plot) for plot in plot_curves(read_curves(output_dir / "metrics.json"))],
        sections=_within_budget(sections),
        facts=facts or {},
        command=command,
    )
    page = output_dir / file_name
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
            format_spec = ".1f" if percent else ".4g"
            cells = [_format_number(metrics.get(name), format_spec) for name in names]
            rows.append((data, TASK_NAMES.get(task, task), cells))
    return rows


def _format_number(value: float | None, format_spec: str) -> str:
    return format(value, format_spec) if _is_number(value) else "-"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _css_color(number: int) -> str:
    return "rgb({},{},{})".format(*palette_color(number))


def _kind_of(part: Part) -> str:
    return type(part).__name__


def _draw_chart(chart: Chart) -> Markup:
    return Markup(plot_chart(chart))


def _largest_value(table: Table) -> float:
    """Return the largest value in the column of a table that is drawn as bars."""
    if not table.bar:
        return 0.0
    column = list(table.columns).index(table.bar)
    values = [row[column] for row in table.rows]
    return max((value for value in values if _is_number(value)), default=0.0)


def _within_budget(sections: Sequence[Section]) -> list[Section]:
    """Return the sections with images of at most `IMAGE_BUDGET` characters."""
    figures: list[ImageFigure] = []
    for section in sections:
        for part in section.parts:
            figures += _figures(part)
    images: list[str] = []
    for figure in figures:
        images += [image for _, image in figure.images]
    # The images, and then the figures with them, come back in the order in which they were collected.
    fitted = iter(fit_images(images, IMAGE_BUDGET))
    shrunk_figures = []
    for figure in figures:
        labelled = [(label, next(fitted)) for label, _ in figure.images]
        shrunk_figures.append(replace(figure, images=labelled))
    shrunk = iter(shrunk_figures)
    result = []
    for section in sections:
        parts: list[Part] = []
        for part in section.parts:
            if isinstance(part, ImageGrid):
                part = replace(part, figures=[next(shrunk) for _ in part.figures])
            elif isinstance(part, Matrix):
                part = replace(part, examples={cell: next(shrunk) for cell in part.examples})
            parts.append(part)
        result.append(replace(section, parts=parts))
    return result


def _figures(part: Part) -> Sequence[ImageFigure]:
    if isinstance(part, ImageGrid):
        return part.figures
    if isinstance(part, Matrix):
        return list(part.examples.values())
    return ()
