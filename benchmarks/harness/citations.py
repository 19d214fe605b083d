"""Figures that a text cites, and which of them are none of the results."""

import re
from collections.abc import Iterable, Iterator, Mapping

from .figure import Figure

# In a cell of a table any ratio; elsewhere one digit and an x, as in "2x", may be a speed of playback.
RATIOS = (
    r"(?<![\w.,])(?P<value>\d+\.\d+ ?|\d\d+)x(?![\w ]*\d)",
    r"\|\s*(?P<value>\d)x\s*(?=\|)",
    r"(?<![\w.,])(?P<value>\d+(?:\.\d+)?) times (?:as|faster|less|longer|slower)\b",
)
MEASURED = {
    "s": (r"(?<![\w.,])(?P<about>about )?(?P<value>\d+(?:\.\d+)?) s\b",),
    "GB": (r"\b\d+ s and\s+(?P<value>\d+(?:\.\d+)?) GB",),
    "%": (r"(?<![\w.,])(?P<value>\d+\.\d+) ?%",),
    "AP": (r"(?<![\w.,])(?P<value>\d+(?:\.\d+)?) (?:box|mask) AP",),
}
TOLERANCE = 0.1  # of a figure that is said to be "about" so


def unknown_ratios(text: str, figures: Iterable[Figure]) -> list[str]:
    """Ratios of speed or memory in `text`, such as "2.67x", to which no figure's ratio rounds.

    Resolutions ("80x80") are none.
    """
    known = [figure.ratio for figure in figures if figure.ratio is not None]
    return [found for found, *cited in _cited(text, RATIOS) if not _is_known(*cited, known)]


def unknown_measurements(text: str, figures: Iterable[Figure]) -> list[str]:
    """Seconds, memory beside seconds, percentages with a decimal and box or mask AP in `text` that are no figure's."""
    known = _values(figures)
    return [
        found
        for unit, patterns in MEASURED.items()
        for found, *cited in _cited(text, patterns)
        if not _is_known(*cited, known.get(unit, []))
    ]


def _values(figures: Iterable[Figure]) -> Mapping[str, list[float]]:
    """All values by unit."""
    known: dict[str, list[float]] = {}
    for figure in figures:
        given = [(figure.unit, figure.ours), (figure.unit, figure.theirs), ("%", figure.error)]
        for unit, value in given:
            if value is not None:
                known.setdefault(unit, []).append(abs(value))
    return known


def _cited(text: str, patterns: Iterable[str]) -> Iterator[tuple[str, str, bool]]:
    """What stands in the text, its number, and whether it is only about right."""
    for pattern in patterns:
        for match in re.finditer(pattern, text):
            yield match[0], match["value"].strip(), bool(match.groupdict().get("about"))


def _is_known(value: str, about: bool, known: Iterable[float]) -> bool:
    if about:
        return any(abs(float(value) / number - 1) <= TOLERANCE for number in known if number)
    decimals = len(value.partition(".")[2])
    return any(f"{number:.{decimals}f}" == value for number in known)
