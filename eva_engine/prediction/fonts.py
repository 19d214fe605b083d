"""A font that has all letters of a text, as far as this machine has one."""

import unicodedata
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont


def find_font(text: str, size: int) -> ImageFont.FreeTypeFont | None:
    """A font of `size` pixels for `text`; None where no font of the machine has all of its letters.

    The first choice comes with matplotlib and has Latin, Greek, Cyrillic, Hebrew and Arabic letters.
    """
    # Neither spaces nor marks that only change their neighbours need a shape of their own.
    needed = frozenset(ord(letter) for letter in text if unicodedata.category(letter) not in ("Zs", "Cf", "Mn"))
    for path in _font_files():
        if needed <= _letters(path):
            return _load(path, size)
    return None


def plain_font(size: int) -> ImageFont.FreeTypeFont:
    """The font of the first choice."""
    return _load(_DEFAULT, size)


_DEFAULT = str(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"))
_load = cache(ImageFont.truetype)


@cache
def _font_files() -> tuple[str, ...]:
    return (_DEFAULT, *sorted(font_manager.findSystemFonts()))


@cache
def _letters(path: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a damaged file, or one without outlines
        return frozenset()
