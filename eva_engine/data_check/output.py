"""Write the result of a data check: lines for the terminal, JSON for programs, one HTML file for people."""

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.safe_text import printable
from eva_engine.text_layout import align_columns

from .findings import CheckResult, Example, Finding

PAGE, JSON_FILE = "index.html", "findings.json"
_MAX_IMAGE_BYTES = 8_000_000  # of all images of the page, as base64
_MAX_SIDE = 320
_MAX_NAMED = 3
_MAX_CLASSES = 400


def describe(result: CheckResult) -> str:
    """Return the result as lines for the terminal."""
    lines = _table(result.facts)
    for finding in result.findings:
        where = f"{finding.source}: " if finding.source else ""
        lines += ["", f"{finding.severity.upper():<8}{where}{printable(finding.what)}"]
        lines.append(f"        {printable(finding.fix)}")
        named = finding.examples[:_MAX_NAMED]
        for example in named:
            lines.append(f"        - {printable(example, 300)}")
        if finding.count > len(named) > 0:
            lines.append(f"        - and {finding.count - len(named):,} more")
    counts = [f"{count} {severity}(s)" for severity, count in _severities(result).items() if count]
    lines += ["", f"found: {', '.join(counts)}" if counts else "found nothing"]
    return "\n".join(lines)


def _table(facts: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return a table with a row for each fact and a column for each part of the data."""
    rows = [["", *facts]]
    for name in _fact_names(facts):
        rows.append([name, *(values.get(name, "-") for values in facts.values())])
    return align_columns(rows)


def _fact_names(facts: Mapping[str, Mapping[str, str]]) -> list[str]:
    names: dict[str, None] = {}  # a dict keeps the order and drops repetitions
    for values in facts.values():
        names.update(dict.fromkeys(values))
    return list(names)


def write_result(result: CheckResult, folder: Path, title: str, subtitle: str = "") -> Path:
    """Write findings.json and index.html to `folder`, and return the path of the page.

    The page contains its images, and stays below 10 MB: those of less serious findings are left out.
    """
    with atomic_path(folder / JSON_FILE) as partial:
        partial.write_text(json.dumps(result.as_json(), indent=1, ensure_ascii=False), encoding="utf-8")
    environment = Environment(
        loader=PackageLoader("eva_engine.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    budget = _ImageBudget()
    findings = [(finding, _examples(finding, budget)) for finding in result.findings]
    html = environment.get_template("data_check.html").render(
        title=title,
        subtitle=subtitle,
        facts=result.facts,
        fact_names=_fact_names(result.facts),
        severities=_severities(result),
        findings=findings,
        counted=result.counted,
        classes=_class_rows(result.class_counts),
        num_classes=max(map(len, result.class_counts.values()), default=0),
        parts=list(result.class_counts),
    )
    page = folder / PAGE
    with atomic_path(page) as partial:
        partial.write_text(html, encoding="utf-8")
    return page


def _severities(result: CheckResult) -> dict[str, int]:
    severities = dict.fromkeys(("error", "warning", "note"), 0)
    for finding in result.findings:
        severities[finding.severity] += 1
    return severities


class _ImageBudget:
    """Turns images into texts until they take too much of the page."""

    def __init__(self) -> None:
        self._left = _MAX_IMAGE_BYTES

    def data_uri(self, example: Example) -> str:
        """Return the drawn example as a data URI; "" if there is none, it cannot be read, or the page is full."""
        if example.draw is None or self._left <= 0:
            return ""
        try:
            pixels = example.draw()
        except InputError:  # the image cannot be read, which is a finding of its own
            return ""
        uri = _encode(pixels)
        self._left -= len(uri)
        return uri


def _encode(pixels: np.ndarray) -> str:
    image = Image.fromarray(pixels)
    image.thumbnail((2 * _MAX_SIDE, _MAX_SIDE))  # pairs are twice as wide
    file = io.BytesIO()
    image.save(file, format="WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _examples(finding: Finding, budget: _ImageBudget) -> list[tuple[str, str, str]]:
    """Return (file, text, image) of each example."""
    return [(example.file, example.text, budget.data_uri(example)) for example in finding.examples]


def _class_rows(counts: Mapping[str, Mapping[str, int]]) -> list[tuple[str, list[int], float]]:
    """Return (class, counts in each part, width of its bar in percent) of the most frequent classes."""
    first = next(iter(counts.values()), {})
    names = dict.fromkeys(sorted(first, key=lambda name: -first[name]))
    for other in counts.values():
        names.update(dict.fromkeys(other))  # names that are known keep their position
    most = max(first.values(), default=0) or 1
    rows = []
    for name in list(names)[:_MAX_CLASSES]:
        rows.append((name, [part.get(name, 0) for part in counts.values()], 100 * first.get(name, 0) / most))
    return rows
