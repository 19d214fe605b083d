"""Label maps drawn over pictures, with a legend of the classes beside them."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from eva_engine.prediction.colors import palette_color
from eva_engine.prediction.fonts import plain_font

from ..segmentation_targets import IGNORED

MAX_LEGEND = 24


def draw_labels(image: np.ndarray, labels: np.ndarray, *, opacity: float = 0.55) -> np.ndarray:
    """Every class in its colour over the picture, with a line of that colour where it ends.

    Args:
        image: [H, W, 3] uint8 RGB; left unchanged.
        labels: class numbers [H, W]; pixels of 255 keep the picture's colour.
        opacity: 0 (the picture) to 1 (colours only).

    Returns:
        [H, W, 3] uint8 RGB, a new array.
    """
    if labels.shape != image.shape[:2]:
        raise ValueError(f"labels of {labels.shape} pixels for a picture of {image.shape[:2]}")
    colors = np.array([palette_color(number) for number in range(IGNORED)] + [(0, 0, 0)], dtype=np.float32)[labels]
    weight = np.full((*labels.shape, 1), opacity, dtype=np.float32)
    weight[_borders(labels)] = 1.0
    weight[labels == IGNORED] = 0.0
    return np.rint(image * (1 - weight) + colors * weight).astype(np.uint8)


def class_shares(labels: np.ndarray) -> dict[int, float]:
    """Share of the pixels [H, W] by class number, the largest first; pixels of 255 are no class."""
    numbers, counts = np.unique(labels, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {int(numbers[i]): float(counts[i] / labels.size) for i in order if numbers[i] != IGNORED}


def add_legend(picture: np.ndarray, shares: dict[int, float], class_names: Sequence[str]) -> np.ndarray:
    """The picture [H, W, 3] with a white strip at its right: colour, name and share of each class, the largest first.

    The strip is higher than the picture where it has to be; of more than 24 classes the smallest are left out.
    """
    font_size = int(np.clip(round(min(picture.shape[:2]) / 32), 12, 36))
    font, line, pad = plain_font(font_size), int(font_size * 1.5), font_size // 2
    rows = [
        (palette_color(number), f"{class_names[number]} {share:.1%}")
        for number, share in list(shares.items())[:MAX_LEGEND]
    ]
    if len(shares) > MAX_LEGEND:
        rows.append(((255, 255, 255), f"and {len(shares) - MAX_LEGEND} more"))
    text_width = max((int(font.getlength(text)) for _, text in rows), default=0)
    height = max(picture.shape[0], len(rows) * line + 2 * pad)
    canvas = Image.new("RGB", (picture.shape[1] + text_width + font_size + 3 * pad, height), (255, 255, 255))
    canvas.paste(Image.fromarray(picture), (0, 0))
    draw, left = ImageDraw.Draw(canvas), picture.shape[1] + pad
    for index, (color, text) in enumerate(rows):
        top = pad + index * line
        draw.rectangle((left, top, left + font_size, top + font_size), fill=color)
        draw.text((left + font_size + pad, top - font_size // 8), text, fill=(0, 0, 0), font=font)
    return np.array(canvas)


def _borders(labels: np.ndarray) -> np.ndarray:
    borders = np.zeros(labels.shape, dtype=bool)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    borders[1:] |= down
    borders[:-1] |= down
    borders[:, 1:] |= right
    borders[:, :-1] |= right
    return borders
