"""Contact sheets: a grid of images, each with its name and its best labels as bars below it."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from PIL import Image, ImageDraw

from eva_engine.prediction.fonts import default_font, find_font
from eva_engine.prediction.images import write_image
from eva_engine.prediction.json_text import without_surrogates

from .predictor import LabelScore

_PAGE = re.compile(r"contact_sheet(_\d+)?\.png")
THUMBNAIL_SIZE = (240, 180)
COLUMNS, ROWS = 5, 4
_GAP, _LINE_HEIGHT, _FONT_SIZE = 14, 20, 13
_BACKGROUND, _TEXT_COLOR, _FRAME = "white", (30, 30, 30), (236, 236, 236)
_BAR, _BEST_BAR = (224, 229, 236), (158, 197, 240)


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

    def add(self, path: Path, thumbnail: Image.Image, scores: Sequence[LabelScore]) -> None:
        """Add an image to the current page.

        Args:
            path: Path of the image, whose name is drawn.
            thumbnail: Result of `make_thumbnail`.
            scores: Scores of the labels, best first.
        """
        self._cells.append(_draw_cell(path.name, thumbnail, scores[: self.top]))
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
        page = Image.new("RGB", page_size, _BACKGROUND)
        for index, cell in enumerate(self._cells):
            row, column = divmod(index, self.columns)
            page.paste(cell, (_GAP + column * (width + _GAP), _GAP + row * (height + _GAP)))
        write_image(page, self.folder / name, format="PNG")
        self.files.append(self.folder / name)
        self._cells = []


def make_thumbnail(image: Image.Image) -> Image.Image:
    """Shrink an image to fit into a cell; enlarge a tiny one by an integer factor, so that its pixels stay sharp."""
    width, height = THUMBNAIL_SIZE
    factor = min(width // image.width, height // image.height)
    if factor > 1:
        return image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)
    smaller = image.copy()
    smaller.thumbnail(THUMBNAIL_SIZE)
    return smaller


def undrawable_labels(labels: Sequence[str]) -> list[int]:
    """Return the numbers, from 1, of the labels that no font can draw."""
    return [number for number, label in enumerate(labels, start=1) if find_font(label, _FONT_SIZE) is None]


def _draw_cell(name: str, thumbnail: Image.Image, scores: Sequence[LabelScore]) -> Image.Image:
    """Draw a thumbnail, its name, and a line for each score with a bar of proportional length."""
    width, height = THUMBNAIL_SIZE
    cell = Image.new("RGB", (width, height + _LINE_HEIGHT * (1 + len(scores)) + 4), _BACKGROUND)
    draw = ImageDraw.Draw(cell)
    draw.rectangle((0, 0, width - 1, height - 1), fill=_FRAME)
    cell.paste(thumbnail, ((width - thumbnail.width) // 2, (height - thumbnail.height) // 2))
    _draw_text(draw, (0, height + 3), without_surrogates(name), name, width)
    for line, score in enumerate(scores):
        top = height + 4 + _LINE_HEIGHT * (1 + line)
        bar_length = round(score.probability * (width - 1))
        if bar_length:
            draw.rectangle((0, top, bar_length, top + _LINE_HEIGHT - 4), fill=_BEST_BAR if line == 0 else _BAR)
        percent = f"{score.probability:.1%}"
        percent_width = draw.textlength(percent, default_font(_FONT_SIZE))
        draw.text((width - percent_width - 3, top + 1), percent, fill=_TEXT_COLOR, font=default_font(_FONT_SIZE))
        fallback = f"label {score.label_index + 1}"
        _draw_text(draw, (4, top + 1), score.label, fallback, int(width - percent_width - 14))
    return cell


def _draw_text(draw: ImageDraw.ImageDraw, position: tuple[int, int], text: str, fallback: str, max_width: int) -> None:
    """Draw `text`, or `fallback` if no font has its letters, with its middle left out if it exceeds `max_width`."""
    font = find_font(text, _FONT_SIZE)
    if font is None:
        text, font = fallback, default_font(_FONT_SIZE)
    num_kept = len(text)
    short = text
    while num_kept and draw.textlength(short, font) > max_width:
        num_kept -= 1
        # The first half of the letters that are kept is rounded up, the second half down.
        short = f"{text[: -(-num_kept // 2)]}…{text[len(text) - num_kept // 2 :]}"
    draw.text(position, short, fill=_TEXT_COLOR, font=font)
