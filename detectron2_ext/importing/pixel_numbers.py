"""Boxes as numbers of their first and last pixels, which some tools count from 1 and others from 0."""

from collections import Counter
from collections.abc import Sequence

from .findings import first_files


class PixelNumbers:
    """Convert numbers of pixels to coordinates, and notice how the tool has counted.

    VOC counts from 1 and includes the last pixel: xmin 1 and xmax 10 are a box of 10 pixels that starts at x = 0. If
    pixels are counted from 0, as many tools do, the numbers are coordinates: a box of 9 pixels that starts at x = 1.

    Args:
        first: Number of the first pixel, 0 or 1.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self._total = 0
        self._at_zero: Counter[str] = Counter()
        self._at_one = 0
        self._at_end = 0

    def to_corners(self, numbers: Sequence[float], width: int, height: int, file: str) -> tuple[float, ...]:
        """Return the corners (x0, y0, x1, y1) in pixels of a box given by (xmin, ymin, xmax, ymax).

        Args:
            numbers: Numbers of the first and last pixels.
            width: Width of the image in pixels.
            height: Height of the image in pixels.
            file: The annotation file, for the note.
        """
        x0, y0, x1, y1 = numbers
        self._total += 1
        if min(x0, y0) == 0:
            self._at_zero[file] += 1
        self._at_one += min(x0, y0) == 1
        self._at_end += x1 == width or y1 == height
        # A last pixel numbered from 1 is the same number as the end numbered from 0, so only the start shifts.
        return x0 - self.first, y0 - self.first, x1, y1

    def notes(self) -> list[str]:
        """Return a sentence about how the pixels are counted."""
        num_zero = self._at_zero.total()
        if self.first == 1 and num_zero:
            return [
                f"{num_zero} of {self._total} boxes start at pixel 0 ({first_files(self._at_zero)}), so the tool seems "
                "to count pixels from 0, and all boxes are taken one pixel too large: add --pixels-from 0"
            ]
        if self.first == 0 and not num_zero and self._at_one and self._at_end:
            return [
                f"no box starts at pixel 0, but {self._at_one} of {self._total} start at 1, so the tool seems to count "
                "pixels from 1 as Pascal VOC does: add --pixels-from 1"
            ]
        if self.first == 1 and self._at_one:
            return [f"pixels are counted from 1: no box starts at 0, and {self._at_one} of {self._total} start at 1"]
        return [f"pixels are counted from {self.first}; no box at the border shows whether that is right"] * (
            not num_zero
        )
