"""Find an installed font that has all characters of a text."""

import unicodedata
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

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
    return _load(_default_file(), size)


@cache
def _default_file() -> str:
    spec = find_spec("matplotlib")  # which is found and not imported: that is slow
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
    return str(Path(spec.origin).with_name("mpl-data") / "fonts/ttf/DejaVuSans.ttf")


@cache
def _font_files() -> tuple[str, ...]:
    from matplotlib import font_manager  # slow to import, and only needed for other letters than the default font's

    return (_default_file(), *sorted(font_manager.findSystemFonts()))


@cache
def _characters(path: str) -> frozenset[int]:
    """Return the code points of a font's characters."""
    from matplotlib.ft2font import FT2Font  # slow to import

    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a damaged file, or one without outlines
        return frozenset()
