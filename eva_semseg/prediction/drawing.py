"""Label maps drawn over images, with a legend of the classes at the side."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from eva_engine.prediction.colors import palette_color
from eva_engine.prediction.fonts import default_font

from ..segmentation_targets import IGNORE_LABEL

MAX_LEGEND = 24


def draw_labels(image: np.ndarray, labels: np.ndarray, *, opacity: float = 0.55) -> np.ndarray:
    """Draw every class in its colour over an image, with an opaque outline.

    Args:
        image: [H, W, 3] uint8 RGB; left unchanged.
        labels: Class indices [H, W]; pixels of 255 keep the colour of the image.
        opacity: 0 (only the image) to 1 (only the colours).

    Returns:
        [H, W, 3] uint8 RGB, a new array.
    """
    if labels.shape != image.shape[:2]:
        raise ValueError(f"labels of shape {labels.shape} do not fit an image of {image.shape[:2]} pixels")
    palette = [palette_color(index) for index in range(IGNORE_LABEL)]
    palette.append((0, 0, 0))  # IGNORE_LABEL, which is not drawn
    colors = np.array(palette, dtype=np.float32)[labels]
    weight = np.full((*labels.shape, 1), opacity, dtype=np.float32)
    weight[_borders(labels)] = 1.0
    weight[labels == IGNORE_LABEL] = 0.0
    return np.rint(image * (1 - weight) + colors * weight).astype(np.uint8)


def class_fractions(labels: np.ndarray) -> dict[int, float]:
    """Return the fraction of all pixels [H, W] by class index, the largest first; pixels of 255 have no class."""
    indices, counts = np.unique(labels, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {int(indices[i]): float(counts[i] / labels.size) for i in order if indices[i] != IGNORE_LABEL}


def add_legend(image: np.ndarray, fractions: dict[int, float], class_names: Sequence[str]) -> np.ndarray:
    """Add a white strip at the right of an image [H, W, 3] with the colour, name and fraction of each class.

    Classes are listed in the order of `fractions`, whose values are shown in percent. Of more than 24 classes, the
    last are left out. The strip is higher than the image if it has to be.
    """
    font_size = int(np.clip(round(min(image.shape[:2]) / 32), 12, 36))
    font, line, pad = default_font(font_size), int(font_size * 1.5), font_size // 2
    rows = []
    for index, fraction in list(fractions.items())[:MAX_LEGEND]:
        rows.append((palette_color(index), f"{class_names[index]} {fraction:.1%}"))
    if len(fractions) > MAX_LEGEND:
        rows.append(((255, 255, 255), f"and {len(fractions) - MAX_LEGEND} more"))
    text_width = max((int(font.getlength(text)) for _, text in rows), default=0)
    height = max(image.shape[0], len(rows) * line + 2 * pad)
    canvas = Image.new("RGB", (image.shape[1] + text_width + font_size + 3 * pad, height), (255, 255, 255))
    canvas.paste(Image.fromarray(image), (0, 0))
    draw, left = ImageDraw.Draw(canvas), image.shape[1] + pad
    for row, (color, text) in enumerate(rows):
        top = pad + row * line
        draw.rectangle((left, top, left + font_size, top + font_size), fill=color)
        draw.text((left + font_size + pad, top - font_size // 8), text, fill=(0, 0, 0), font=font)
    return np.array(canvas)


def _borders(labels: np.ndarray) -> np.ndarray:
    """Return a mask [H, W] of the pixels that have a neighbour of another class."""
    borders = np.zeros(labels.shape, dtype=bool)
    differs_below, differs_right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    borders[1:] |= differs_below
    borders[:-1] |= differs_below
    borders[:, 1:] |= differs_right
    borders[:, :-1] |= differs_right
    return borders
