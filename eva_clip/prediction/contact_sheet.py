"""Contact sheets: a grid of images, each with its name and its best labels as bars below it."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image, ImageDraw

from eva_engine.prediction.bar_chart import BACKGROUND, FONT_SIZE, LINE_HEIGHT, draw_bars, draw_fitting_text
from eva_engine.prediction.fonts import find_font
from eva_engine.prediction.images import write_image
from eva_engine.prediction.json_text import without_surrogates

from .result import TextScoreResult

_PAGE = re.compile(r"contact_sheet(_\d+)?\.png")
THUMBNAIL_SIZE = (240, 180)
COLUMNS, ROWS = 5, 4
_GAP, _FRAME = 14, (236, 236, 236)


class ContactSheets:
    """PNG pages of 20 images, each written as soon as it is full; leaving the context manager writes the last page.

    Pages of an earlier run are removed. If no font of this machine has the letters of a label, the label is drawn as
    "label" and its number.

    Args:
        folder: Where to write contact_sheet.png, or contact_sheet_001.png and so on if there are several pages.
        num_images: Maximum number of images.
        top: Number of labels below each image.

    Attributes:
        files: The pages written so far.
    """

    def __init__(self, folder: str | Path, num_images: int, top: int) -> None:
        self.folder = Path(folder)
        self.top = top
        self.is_single = num_images <= COLUMNS * ROWS
        self.columns = max(1, min(COLUMNS, num_images))
        self.files: list[Path] = []
        self._cells: list[Image.Image] = []

    def add(self, path: Path, result: TextScoreResult) -> None:
        """Add an image to the current page.

        Args:
            path: Path of the image, whose name is drawn.
            result: Scores of the labels; its image is a thumbnail that `make_thumbnail` has made.
        """
        self._cells.append(_draw_cell(path.name, result, self.top))
        if len(self._cells) >= COLUMNS * ROWS:
            self._write()

    def __enter__(self) -> "ContactSheets":
        for earlier in self.folder.glob("contact_sheet*.png"):
            if _PAGE.fullmatch(earlier.name):
                earlier.unlink()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._cells:
            self._write()

    def _write(self) -> None:
        """Write the current page and start a new one."""
        page_number = len(self.files) + 1
        name = "contact_sheet.png" if self.is_single else f"contact_sheet_{page_number:03d}.png"
        width, height = self._cells[0].size
        num_rows = -(-len(self._cells) // self.columns)  # rounded up
        page_size = (self.columns * (width + _GAP) + _GAP, num_rows * (height + _GAP) + _GAP)
        page = Image.new("RGB", page_size, BACKGROUND)
        for index, cell in enumerate(self._cells):
            row, column = divmod(index, self.columns)
            page.paste(cell, (_GAP + column * (width + _GAP), _GAP + row * (height + _GAP)))
        write_image(page, self.folder / name, format="PNG")
        self.files.append(self.folder / name)
        self._cells = []


def make_thumbnail(image: np.ndarray) -> np.ndarray:
    """Shrink an image [H, W, 3] to fit into a cell; enlarge a tiny one by an integer factor, so that it stays sharp."""
    width, height = THUMBNAIL_SIZE
    factor = min(width // image.shape[1], height // image.shape[0])
    thumbnail = Image.fromarray(image)
    if factor > 1:
        thumbnail = thumbnail.resize((factor * thumbnail.width, factor * thumbnail.height), Image.Resampling.NEAREST)
    else:
        thumbnail.thumbnail(THUMBNAIL_SIZE)
    return np.array(thumbnail)


def undrawable_labels(labels: Sequence[str]) -> list[int]:
    """Return the numbers, from 1, of the labels that no font can draw."""
    return [number for number, label in enumerate(labels, start=1) if find_font(label, FONT_SIZE) is None]


def _draw_cell(name: str, result: TextScoreResult, top: int) -> Image.Image:
    """Draw a thumbnail, its name, and a line for each of the best labels with a bar of proportional length."""
    width, height = THUMBNAIL_SIZE
    indices = result.class_ids[:top].tolist()
    cell = Image.new("RGB", (width, height + LINE_HEIGHT * (1 + len(indices)) + 4), BACKGROUND)
    draw = ImageDraw.Draw(cell)
    draw.rectangle((0, 0, width - 1, height - 1), fill=_FRAME)
    thumbnail = Image.fromarray(np.asarray(result.image))
    cell.paste(thumbnail, ((width - thumbnail.width) // 2, (height - thumbnail.height) // 2))
    draw_fitting_text(draw, (0, height + 3), without_surrogates(name), name, width)
    labels = [result.class_names[index] for index in indices]
    fallbacks = [f"label {index + 1}" for index in indices]
    draw_bars(draw, height + 4 + LINE_HEIGHT, width, labels, result.scores[:top].tolist(), fallbacks)
    return cell
