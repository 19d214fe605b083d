"""Outlines of masks as polygons."""

from typing import Any

import cv2
import numpy as np

from ...mask_windows import decode_window


def mask_polygons(rle: dict[str, Any]) -> list[np.ndarray]:
    """Return the outlines of the parts of a mask, largest part first; holes are filled.

    Args:
        rle: The mask as compressed COCO run lengths.

    Returns:
        A list of arrays [N, 2] float64 with the (x, y) of at least 3 corners, in pixels from the top left corner of the
        image. They lie a quarter of a pixel outside of the centres of the mask's outer pixels, so that tools that fill
        the polygon at the centres of pixels get the mask back.
    """
    window = decode_window(rle)
    if window is None:
        return []
    top, left, mask = window
    # OpenCV returns centres of pixels. Enlarged twice, those of the outer pixels are a quarter of a pixel further out.
    enlarged = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    contours, _ = cv2.findContours(enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygons = []
    for contour in sorted(contours, key=cv2.contourArea, reverse=True):
        polygons.append((contour[:, 0].astype(np.float64) + 0.5) / 2 + (left, top))
    return polygons


def box_polygon(box: np.ndarray) -> np.ndarray:
    """Return the corners [4, 2] of a box (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = box.tolist()
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
