"""The findings of a result as a table of texts and numbers."""

from typing import Any

from eva_engine.prediction.result import Result

MAX_ROWS = 200


def findings_table(result: Result) -> tuple[list[str], list[list[Any]]]:
    """Return the headers and the rows of the findings, the first `MAX_ROWS` of them.

    Nested values of records, such as masks, are left out; lists of numbers, such as boxes, become texts.
    """
    records = result.records()[:MAX_ROWS]
    headers: list[str] = []
    for record in records:
        headers += [key for key, value in record.items() if key not in headers and not isinstance(value, dict)]
    titles = [header.replace("_", " ") for header in headers]
    rows = []
    for record in records:
        rows.append([_cell(record.get(header)) for header in headers])
    return titles, rows


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(f"{number:.0f}" for number in value)
    return round(value, 4) if isinstance(value, float) else value
