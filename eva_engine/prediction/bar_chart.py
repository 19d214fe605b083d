"""Names and scores as horizontal bars below an image."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .fonts import default_font, find_font

LINE_HEIGHT, FONT_SIZE = 20, 13
BACKGROUND, TEXT_COLOR = "white", (30, 30, 30)
_BAR, _BEST_BAR = (224, 229, 236), (158, 197, 240)
_MIN_WIDTH = 240  # leaves room for names below a narrow image


def add_bars(image: np.ndarray, names: Sequence[str], scores: Sequence[float]) -> np.ndarray:
    """Return an image with a bar for each score below it.

    Args:
        image: [H, W, 3] uint8 RGB; left unchanged.
        names: Text of each bar. If no font has its letters, "label" and its number are drawn.
        scores: Length of each bar, 0 to 1, best first.

    Returns:
        [H', W', 3] uint8 RGB, where W' is at least 240.
    """
    height, width = image.shape[:2]
    canvas = Image.new("RGB", (max(width, _MIN_WIDTH), height + LINE_HEIGHT * len(scores) + 4), BACKGROUND)
    canvas.paste(Image.fromarray(image), ((canvas.width - width) // 2, 0))
    fallbacks = [f"label {number}" for number in range(1, len(names) + 1)]
    draw_bars(ImageDraw.Draw(canvas), height + 4, canvas.width, names, scores, fallbacks)
    return np.array(canvas)


def draw_bars(
    draw: ImageDraw.ImageDraw,
    top: int,
    width: int,
    names: Sequence[str],
    scores: Sequence[float],
    fallbacks: Sequence[str],
) -> None:
    """Draw a line for each score, with a bar of proportional length, the name and the percentage.

    Args:
        draw: Where to draw, from the left edge.
        top: Pixels above the first line.
        width: Pixels of a bar of 1.
        names: Text of each line.
        scores: 0 to 1, best first.
        fallbacks: Text of each line if no font has the letters of its name.
    """
    for line, (name, score, fallback) in enumerate(zip(names, scores, fallbacks, strict=True)):
        line_top = top + LINE_HEIGHT * line
        bar_length = round(score * (width - 1))
        if bar_length:
            draw.rectangle((0, line_top, bar_length, line_top + LINE_HEIGHT - 4), fill=_BEST_BAR if line == 0 else _BAR)
        percent = f"{score:.1%}"
        percent_width = draw.textlength(percent, default_font(FONT_SIZE))
        draw.text((width - percent_width - 3, line_top + 1), percent, fill=TEXT_COLOR, font=default_font(FONT_SIZE))
        draw_fitting_text(draw, (4, line_top + 1), name, fallback, int(width - percent_width - 14))


def draw_fitting_text(
    draw: ImageDraw.ImageDraw, position: tuple[int, int], text: str, fallback: str, max_width: int
) -> None:
    """Draw `text`, or `fallback` if no font has its letters, with its middle left out if it exceeds `max_width`."""
    font = find_font(text, FONT_SIZE)
    if font is None:
        text, font = fallback, default_font(FONT_SIZE)
    num_kept = len(text)
    short = text
    while num_kept and draw.textlength(short, font) > max_width:
        num_kept -= 1
        # The first half of the letters that are kept is rounded up, the second half down.
        short = f"{text[: -(-num_kept // 2)]}…{text[len(text) - num_kept // 2 :]}"
    draw.text(position, short, fill=TEXT_COLOR, font=font)
