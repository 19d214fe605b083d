"""Check the masks of an annotation file: polygons and run-length encodings (RLE)."""

import reprlib

import numpy as np
from pycocotools import mask as mask_api

from ..mask_windows import run_lengths
from .polygon_clipping import clip_polygons

# pycocotools stores about 100 bytes per pixel of an outline, however small the image is. This is 50 times around a
# photo of 24 megapixels, or every second pixel of a VGA image as an island of its own.
MAX_OUTLINE = 1_000_000
_USUAL_OUTLINE = 10_000
MIN_POLYGON = 6  # coordinates of three points
# A run length takes at most 7 characters of 5 bits, since no image has 2**35 pixels.
_MAX_CHARACTERS = 7
_NOT_FLAT = "has a polygon that is not a flat list of numbers [x0, y0, x1, y1, ...]"


class MaskChecker:
    """Check the masks of one annotation file; nothing large is computed before this check."""

    def __init__(self) -> None:
        self._outline_left = 10.0 * MAX_OUTLINE

    def problem(self, segmentation: object, height: int, width: int) -> str | None:
        """Return what is wrong with one `segmentation`, or None.

        Args:
            segmentation: Value of an annotation's `segmentation` key: a list of polygons or an RLE, not empty.
            height: Height of the image in pixels.
            width: Width of the image in pixels.
        """
        if isinstance(segmentation, dict):
            return _rle_problem(segmentation, height, width)
        if not isinstance(segmentation, list):
            return f"has a segmentation of type {type(segmentation).__name__}, expected a list of polygons or an RLE"
        outline = 0.0
        for polygon in segmentation:
            try:
                points = np.array(polygon, dtype=np.float64)
            except (TypeError, ValueError, OverflowError):
                return _NOT_FLAT
            if points.ndim != 1 or not np.isfinite(points).all():
                return _NOT_FLAT
            reach = np.abs(points).max(initial=0)
            if reach > MAX_OUTLINE:
                return f"has a polygon that reaches {reach:.3g} px, far outside its image"
            outline += np.abs(points[2:] - points[:-2]).sum()
        # A file may have any number of ordinary objects, but not many at the limit.
        self._outline_left += _USUAL_OUTLINE
        if outline > min(MAX_OUTLINE, self._outline_left):
            return (
                f"has polygons with an outline of {outline:.3g} px, more than {MAX_OUTLINE} or than the file may have"
            )
        self._outline_left -= outline
        return None


def clip_segmentation(
    segmentation: list | dict, height: int, width: int
) -> tuple[list[np.ndarray] | dict | None, str | None]:
    """Convert a checked `segmentation` to the form for training.

    Returns:
        `(mask, None)` or `(None, problem)`. The mask is a list of flat float64 polygons [x0, y0, x1, y1, ...] clipped
        to the image, or a compressed RLE of exactly the image's size. Polygons of fewer than three points are dropped
        as long as another polygon is left.
    """
    if isinstance(segmentation, dict):
        return to_rle(segmentation, height, width), None
    polygons = [np.array(polygon, dtype=np.float64) for polygon in segmentation if len(polygon) >= MIN_POLYGON]
    if not polygons:
        return None, "has no polygon of three or more points"
    if any(len(points) % 2 for points in polygons):
        return None, "has a polygon with an odd number of coordinates"
    for points in polygons:
        if points.min() < 0 or points[0::2].max() > width or points[1::2].max() > height:
            # Clip exactly: moving the outside vertices to the border would bend the edges that cross it.
            clipped = clip_polygons([points.reshape(-1, 2) for points in polygons], 0, 0, width, height)
            if not clipped:
                return None, f"has a polygon completely outside its {width}x{height} image"
            return [points.reshape(-1) for points in clipped], None
    return polygons, None


def to_rle(segmentation: list | dict, height: int, width: int) -> dict:
    """Return the compressed COCO RLE of a checked `segmentation` in an image of this size in pixels."""
    if isinstance(segmentation, list):
        return mask_api.merge(mask_api.frPyObjects(segmentation, height, width))
    if isinstance(segmentation["counts"], list):
        return mask_api.frPyObjects({"size": [height, width], "counts": segmentation["counts"]}, height, width)
    return {"size": [height, width], "counts": segmentation["counts"]}


def box_of(record: dict, mask: list | dict | None, height: int, width: int) -> tuple[list, str | None]:
    """Return the box [x, y, width, height] of an annotation, that of its checked mask if it has none, and a problem."""
    box = record.get("bbox")
    if box is None and mask is not None:
        box = mask_api.toBbox(to_rle(mask, height, width)).tolist()
    if not isinstance(box, list) or len(box) != 4 or not all(is_number(value) for value in box):
        return [], f"has bbox {reprlib.repr(box)}"
    return box, None


def is_number(value: object) -> bool:
    """Return whether `value` can be a coordinate or area in pixels."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15  # NaN is not


def _rle_problem(rle: dict, height: int, width: int) -> str | None:
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        return f"has an RLE of size {reprlib.repr(size)}, expected [height, width] of its image, {[height, width]}"
    runs = None
    if isinstance(counts, str):
        runs = decode_counts(counts)
    elif isinstance(counts, list) and all(isinstance(count, int) and abs(count) < 2**40 for count in counts):
        runs = np.array(counts, dtype=np.int64)
    if runs is None or (runs < 0).any():
        return "has an RLE whose counts cannot be read"
    # This check must come before pycocotools decodes the RLE: its decoder writes as many pixels as the counts add up
    # to, whatever the size of its buffer.
    if runs.sum() != height * width:
        return f"has an RLE for {runs.sum()} pixels, expected {height * width} ({width}x{height})"
    return None


def decode_counts(counts: str) -> np.ndarray | None:
    """Decode a compressed RLE string to run lengths (int64); return None if it is malformed."""
    codes = np.frombuffer(counts.encode("latin-1", "replace"), dtype=np.uint8).astype(np.int64) - 48
    if len(codes) == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 0x20:
        return None
    ends = np.flatnonzero((codes & 0x20) == 0)
    if np.diff(ends, prepend=-1).max() > _MAX_CHARACTERS:
        return None
    return run_lengths(codes)
