"""Update figures that texts cite from the results, and find numbers that look measured but are not cited."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .results import Result

# Patterns of measured figures. A one-digit ratio such as "2x" may be a playback speed; "80x80" is a resolution.
MEASURED = (
    r"(?<![\w.,])(?:\d+\.\d+ ?|\d\d+)x(?![\w ]*\d)",
    r"\|\s*\dx\s*(?=\|)",
    r"(?<![\w.,])\d+(?:\.\d+)? times (?:as|faster|less|longer|slower)\b",
    r"(?<![\w.,])\d+(?:\.\d+)? s\b",
    r"(?<![\w.,])\d+\.\d+ ?%",
    r"(?<![\w.,])\d+(?:\.\d+)? (?:box|mask) AP",
)


@dataclass(frozen=True)
class Cited:
    """A number in RESULTS.md: in the table of `script`, in the row "figure: quantity", measured in float32."""

    script: str
    figure: str
    quantity: str
    column: Literal["ours", "theirs", "ratio"] = "ours"


# A phrase of the text, with {} for each number -> the cited numbers.
Citations = Mapping[str, Sequence[Cited]]


def with_results(text: str, citations: Citations, results: Mapping[str, Result]) -> str:
    """Return `text` with its cited numbers replaced by those of `results`, with the number of decimals in the text.

    Args:
        text: Text to update.
        citations: Phrases of the text and the numbers that they cite.
        results: Results by the name of the script.

    Raises:
        ValueError: If a phrase does not occur exactly once in the text, or if the results have no such number.
    """
    for phrase, numbers in citations.items():
        found = list(_pattern(phrase).finditer(text))
        if len(found) != 1:
            raise ValueError(f"{phrase!r} occurs {len(found)} times in the text, expected once")
        # From the last to the first, so that the positions of the others stay valid.
        for group, cited in reversed(list(enumerate(numbers, 1))):
            start, end = found[0].span(group)
            decimals = len(text[start:end].partition(".")[2])
            text = f"{text[:start]}{_value(cited, results):,.{decimals}f}{text[end:]}"
    return text


def uncited(text: str, citations: Citations) -> list[str]:
    """Return the parts of `text` that look like measured figures and are in none of the phrases."""
    for phrase in citations:
        text = _pattern(phrase).sub(" ", text)
    found = []
    for pattern in MEASURED:
        found += [match[0] for match in re.finditer(pattern, text)]
    return found


def _pattern(phrase: str) -> re.Pattern[str]:
    """Return a pattern for a phrase that matches across line breaks."""
    words = r"\s+".join(map(re.escape, phrase.split()))
    return re.compile(words.replace(re.escape("{}"), r"(\d[\d,]*(?:\.\d+)?)"))


def _value(cited: Cited, results: Mapping[str, Result]) -> float:
    figures = results[cited.script].outcome.figures if cited.script in results else ()
    for figure in figures:
        if (figure.name, figure.quantity, figure.dtype) == (cited.figure, cited.quantity, "float32"):
            value: float | None = getattr(figure, cited.column)
            if value is not None:
                return value
    raise ValueError(f"the results of {cited.script} have no {cited.column} of {cited.figure}: {cited.quantity}")
