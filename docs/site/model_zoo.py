"""The page with all published weight files in one table, joined from the tables of other pages."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from eva_engine.published_weights.table import PublishedFile
from eva_engine.tasks import all_tasks

Table = list[dict[str, str]]


def model_zoo(root: Path) -> Iterator[str]:
    """Yield the page; figures are those of docs/published_results.md, memory that of docs/howto/which_model.md."""
    results = markdown_tables((root / "docs/published_results.md").read_text(encoding="utf-8"))
    # The tables with all figures of the detectors repeat the AP with more decimals.
    results = [row for row in results if "AP50" not in row]
    memory = markdown_tables((root / "docs/howto/which_model.md").read_text(encoding="utf-8"))
    yield "# Model zoo"
    yield ""
    yield "All published weight files, with the names that `--weights` takes. Figures are the published ones; they have"
    yield "not been measured here. Memory in GB, as `plan` predicts it for one image: inference in float32, and"
    yield "training of all parameters ([more](../howto/which_model.md)). [Published results](../published_results.md)"
    yield "has the command of every figure."
    for task in all_tasks():
        files = task.load("published_weights") or ()
        if not files:
            continue
        yield from ["", f"## {task.name[0].upper()}{task.name[1:]}", ""]
        yield "| `--weights` | size | published | inference | training | recipe |"
        yield "|---|---|---|---|---|---|"
        for file in files:
            yield _row(file, results, memory)


def _row(file: PublishedFile, results: Table, memory: Table) -> str:
    figures = "; ".join(dict.fromkeys(figure for row in results for figure in _figures(file.name, row)))
    used = next((row for row in memory if file.name in _names(row)), {})
    recipe = file.recipe or next(iter(file.starting_recipes), None)
    shown = f"`{recipe.path}`" if recipe else ""
    if recipe and not file.recipe:
        shown = f"to start from: {shown}"
    cells = [f"`{file.name}`", file.size, figures, used.get("inference", ""), used.get("all trained", ""), shown]
    return f"| {' | '.join(cells)} |"


def _figures(name: str, row: dict[str, str]) -> Iterator[str]:
    """Yield the figures in a row of results that are those of a file, such as "COCO val: box AP 64.1"."""
    names = _names(row)
    if name not in names:
        return
    texts = {key: value for key, value in row.items() if value and not _numbers(value) and "`" not in value}
    what = ", ".join(value for key, value in texts.items() if key in ("result", "input"))
    numbers = []
    for key, value in row.items():
        found = _numbers(value)
        if found:
            # A row of several files has a number for each.
            own = found[names.index(name)] if len(found) == len(names) > 1 else value
            numbers.append(f"{key} {own}")
    if numbers:
        yield f"{what}: {', '.join(numbers)}" if what else ", ".join(numbers)


def _names(row: dict[str, str]) -> list[str]:
    """Return the names of files in a row, without suffix; a heading may have what is before and after "..."."""
    names = []
    for heading, cell in row.items():
        pattern = re.search(r"`([\w.-]*)\.\.\.([\w.-]*)`", heading)
        before, after = pattern.groups() if pattern else ("", "")
        names += [PurePosixPath(before + name + after).stem for name in re.findall(r"`([^`]+)`", cell)]
    return names


def _numbers(cell: str) -> list[str]:
    """Return the numbers of a cell that has nothing else."""
    parts = [part.strip() for part in cell.split(",")]
    return parts if all(re.fullmatch(r"\d+\.\d+", part) for part in parts) else []


def markdown_tables(text: str) -> Table:
    """Return the rows of all tables of a page, each as a dict from the heading of its columns."""
    rows: Table = []
    headings: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            headings = []
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not headings:
            headings = cells
        elif not set(line) <= set("|-: "):
            rows.append(dict(zip(headings, cells, strict=False)))
    return rows
