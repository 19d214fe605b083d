"""Checking the masks of an annotation file: polygons and run-length encodings (RLE)."""

import numpy as np
from fvcore.transforms.transform import CropTransform
from pycocotools import mask as mask_api

# A count needs at most 7 characters of 5 bits: no image has 2**35 pixels.
_MAX_CHARACTERS = 7
_NOT_FLAT = "has a polygon that is not a flat list of numbers [x0, y0, x1, y1, ...]"


def check_segmentation(
    segmentation: object, height: int, width: int
) -> tuple[list[np.ndarray] | dict | None, str | None]:
    """Checks one ``segmentation`` against the size of its image in pixels.

    Returns:
        ``(mask, None)`` or ``(None, problem)``. The mask is a list of flat float64 polygons [x0, y0, x1, y1, ...] cut
        at the border of the image, or a compressed RLE of exactly the image's size, or None for no mask
        (absent or empty). Polygons of fewer than three points are dropped as long as another one is left.
    """
    if segmentation is None or segmentation == []:
        return None, None
    if isinstance(segmentation, list):
        return _check_polygons(segmentation, height, width)
    if isinstance(segmentation, dict):
        return _check_rle(segmentation, height, width)
    return None, f"has a segmentation of type {type(segmentation).__name__}, expected a list of polygons or an RLE"


def _check_polygons(polygons: list, height: int, width: int) -> tuple[list[np.ndarray] | None, str | None]:
    kept = []
    outside = False
    for polygon in polygons:
        try:
            points = np.array(polygon, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            points = None
        if points is None or points.ndim != 1:
            return None, _NOT_FLAT
        if len(points) < 6 or len(points) % 2:
            continue
        # False for NaN as well; most polygons are decided by these three calls.
        if not (points.min() >= 0 and points[0::2].max() <= width and points[1::2].max() <= height):
            if not np.isfinite(points).all():
                return None, _NOT_FLAT
            outside = True
        kept.append(points)
    if not kept:
        return None, "has no polygon of three or more points"
    if outside:
        # An exact cut: moving the vertices to the border would bend the edges that cross it.
        cut = CropTransform(0, 0, width, height).apply_polygons([points.reshape(-1, 2) for points in kept])
        kept = [points.reshape(-1) for points in cut]
        if not kept:
            return None, f"has a polygon wholly outside its {width}x{height} image"
    return kept, None


def _check_rle(rle: dict, height: int, width: int) -> tuple[dict | None, str | None]:
    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, list | tuple) or list(size) != [height, width]:
        return None, f"has an RLE of size {size!r}, expected [height, width] of its image, {[height, width]}"
    runs = None
    if isinstance(counts, str):
        runs = decode_counts(counts)
    elif isinstance(counts, list) and all(isinstance(count, int) and abs(count) < 2**40 for count in counts):
        runs = np.array(counts, dtype=np.int64)
    if runs is None or (runs < 0).any():
        return None, "has an RLE whose counts cannot be read"
    # Checked before pycocotools sees it: its decoder writes as many pixels as the counts say.
    if runs.sum() != height * width:
        return None, f"has an RLE for {runs.sum()} pixels, expected {height * width} ({width}x{height})"
    if isinstance(counts, list):
        return mask_api.frPyObjects({"size": [height, width], "counts": counts}, height, width), None
    return {"size": [height, width], "counts": counts}, None


def decode_counts(counts: str) -> np.ndarray | None:
    """Run lengths (int64) of a compressed RLE string, None if it is malformed.

    The COCO coding: characters from "0" carry 5 bits each, least significant first, bit 5 says that more follow, the
    last one's bit 4 is the sign; from the fourth count on, the difference to the count two before is stored.
    """
    codes = np.frombuffer(counts.encode("latin-1", "replace"), dtype=np.uint8).astype(np.int64) - 48
    if len(codes) == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 0x20:
        return None
    ends = np.flatnonzero((codes & 0x20) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_CHARACTERS:
        return None
    places = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 0x1F) << places, starts)
    runs -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * lengths), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
