"""Draw boxes into an image, as an example of a finding of the data check."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from PIL import ImageDraw

from eva_engine.data.image_file import read_image
from eva_engine.data_check.findings import Example

_SIDE = 640  # pixels of the longer side
_COLOR = (255, 60, 60)
_MAX_BOXES = 300


def box_example(image: dict, boxes: Sequence[Sequence[float]], text: str = "") -> Example:
    """Return an example for boxes (x, y, width, height in pixels) of the record of an image."""
    if not text and len(boxes) == 1:
        text = "box [" + ", ".join(f"{value:g}" for value in boxes[0]) + "]"
    return Example(image["file_name"], text, partial(_draw, image, [list(box) for box in boxes[:_MAX_BOXES]]))


def _draw(record: dict, boxes: list[list[float]]) -> np.ndarray:
    image = read_image(record["file_name"])
    scale = min(_SIDE / max(image.size), 1.0)
    image = image.resize((max(round(image.width * scale), 1), max(round(image.height * scale), 1)))
    draw = ImageDraw.Draw(image)
    for x, y, w, h in boxes:
        draw.rectangle(
            (x * scale, y * scale, (x + max(w, 0)) * scale, (y + max(h, 0)) * scale), outline=_COLOR, width=2
        )
    return np.asarray(image)
