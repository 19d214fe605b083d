"""Find an installed font that has all characters of a text."""

import unicodedata
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

_DEFAULT = str(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"))
_load = cache(ImageFont.truetype)


def find_font(text: str, size: int) -> ImageFont.FreeTypeFont | None:
    """Return a font for a text, or None if no installed font has all of its characters.

    The default font is tried first: it is part of matplotlib and has Latin, Greek, Cyrillic, Hebrew and Arabic letters.

    Args:
        text: Text to draw.
        size: Font size in pixels.
    """
    # Spaces (Zs), format characters (Cf) and combining marks (Mn) do not need a glyph of their own.
    needed = frozenset(ord(letter) for letter in text if unicodedata.category(letter) not in ("Zs", "Cf", "Mn"))
    for path in _font_files():
        if needed <= _characters(path):
            return _load(path, size)
    return None


def default_font(size: int) -> ImageFont.FreeTypeFont:
    """Return matplotlib's DejaVu Sans in a size in pixels."""
    return _load(_DEFAULT, size)


@cache
def _font_files() -> tuple[str, ...]:
    return (_DEFAULT, *sorted(font_manager.findSystemFonts()))


@cache
def _characters(path: str) -> frozenset[int]:
    """Return the code points of a font's characters."""
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a damaged file, or one without outlines
        return frozenset()
