"""Contact sheets: pictures in a grid, under each its name and its best labels as bars."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from PIL import Image, ImageDraw

from eva_engine.atomic import atomic_path
from eva_engine.prediction.fonts import find_font, plain_font
from eva_engine.prediction.json_text import printable

from .predictor import Match

_PAGE = re.compile(r"contact_sheet(_\d+)?\.png")
PICTURE = (240, 180)
COLUMNS, ROWS = 5, 4
_GAP, _LINE, _TEXT = 14, 20, 13
_PAPER, _INK, _FRAME, _BAR, _BEST = "white", (30, 30, 30), (236, 236, 236), (224, 229, 236), (158, 197, 240)


class ContactSheets:
    """PNG pages of 20 pictures, each written as soon as it is full; a context manager, which writes the last one.

    Pages of an earlier run are removed. A label in letters that no font of the machine has is drawn as "label" and its
    number.

    Args:
        folder: where contact_sheet.png goes, or contact_sheet_001.png and so on for several pages.
        num_pictures: how many may come.
        top: labels under each picture.

    Attributes:
        files: the pages written so far.
    """

    def __init__(self, folder: str | Path, num_pictures: int, top: int) -> None:
        self.folder = Path(folder)
        self.top = top
        self.is_single = num_pictures <= COLUMNS * ROWS
        self.columns = max(1, min(COLUMNS, num_pictures))
        self.files: list[Path] = []
        self._cells: list[Image.Image] = []

    def add(self, path: Path, picture: Image.Image, matches: Sequence[Match]) -> None:
        """Put a picture of `fit_to_sheet` on the current page."""
        self._cells.append(_draw_cell(path.name, picture, matches[: self.top]))
        if len(self._cells) == COLUMNS * ROWS:
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
        number = len(self.files) + 1
        name = "contact_sheet.png" if self.is_single else f"contact_sheet_{number:03d}.png"
        width, height = self._cells[0].size
        rows = -(-len(self._cells) // self.columns)
        page = Image.new("RGB", (self.columns * (width + _GAP) + _GAP, rows * (height + _GAP) + _GAP), _PAPER)
        for place, cell in enumerate(self._cells):
            row, column = divmod(place, self.columns)
            page.paste(cell, (_GAP + column * (width + _GAP), _GAP + row * (height + _GAP)))
        with atomic_path(self.folder / name) as partial:
            page.save(partial, format="PNG")
        self.files.append(self.folder / name)
        self._cells = []


def fit_to_sheet(image: Image.Image) -> Image.Image:
    """The picture not larger than its place on a sheet; a tiny one in larger pixels."""
    width, height = PICTURE
    factor = min(width // image.width, height // image.height)
    if factor > 1:
        return image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)
    smaller = image.copy()
    smaller.thumbnail(PICTURE)
    return smaller


def undrawable_labels(labels: Sequence[str]) -> list[int]:
    """Numbers of the labels that are drawn by their number only, from 1."""
    return [number for number, label in enumerate(labels, start=1) if find_font(label, _TEXT) is None]


def _draw_cell(name: str, picture: Image.Image, matches: Sequence[Match]) -> Image.Image:
    width, height = PICTURE
    cell = Image.new("RGB", (width, height + _LINE * (1 + len(matches)) + 4), _PAPER)
    draw = ImageDraw.Draw(cell)
    draw.rectangle((0, 0, width - 1, height - 1), fill=_FRAME)
    cell.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    _write_text(draw, (0, height + 3), printable(name), name, width)
    for line, match in enumerate(matches):
        top = height + 4 + _LINE * (1 + line)
        bar = round(match.probability * (width - 1))
        if bar:
            draw.rectangle((0, top, bar, top + _LINE - 4), fill=_BEST if line == 0 else _BAR)
        percent = f"{match.probability:.1%}"
        room = draw.textlength(percent, plain_font(_TEXT))
        draw.text((width - room - 3, top + 1), percent, fill=_INK, font=plain_font(_TEXT))
        _write_text(draw, (4, top + 1), match.label, f"label {match.number + 1}", int(width - room - 14))
    return cell


def _write_text(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, instead: str, width: int) -> None:
    """`text`, or `instead` where no font can write it, cut in the middle to `width` pixels."""
    font = find_font(text, _TEXT)
    if font is None:
        text, font = instead, plain_font(_TEXT)
    kept = len(text)
    short = text
    while kept and draw.textlength(short, font) > width:
        kept -= 1
        short = f"{text[: -(-kept // 2)]}…{text[len(text) - kept // 2 :]}"
    draw.text(place, short, fill=_INK, font=font)
