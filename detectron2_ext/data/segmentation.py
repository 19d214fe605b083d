"""Check the masks of an annotation file: polygons and run-length encodings (RLE)."""

import numpy as np
from fvcore.transforms.transform import CropTransform
from pycocotools import mask as mask_api

# A run length takes at most 7 characters of 5 bits, since no image has 2**35 pixels.
_MAX_CHARACTERS = 7
_NOT_FLAT = "has a polygon that is not a flat list of numbers [x0, y0, x1, y1, ...]"


def check_segmentation(
    segmentation: object, height: int, width: int
) -> tuple[list[np.ndarray] | dict | None, str | None]:
    """Check one `segmentation` against the size of its image.

    Args:
        segmentation: Value of an annotation's `segmentation` key, or None if it has none.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        `(mask, None)` or `(None, problem)`. The mask is a list of flat float64 polygons [x0, y0, x1, y1, ...] clipped
        to the image, or a compressed RLE of exactly the image's size, or None if there is no mask (absent or empty).
        Polygons of fewer than three points are dropped as long as another polygon is left.
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
    any_outside = False
    for polygon in polygons:
        try:
            points = np.array(polygon, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            points = None
        if points is None or points.ndim != 1:
            return None, _NOT_FLAT
        if len(points) < 6 or len(points) % 2:
            continue
        # Also True for NaN; for most polygons these three calls are the complete check.
        if not (points.min() >= 0 and points[0::2].max() <= width and points[1::2].max() <= height):
            if not np.isfinite(points).all():
                return None, _NOT_FLAT
            any_outside = True
        kept.append(points)
    if not kept:
        return None, "has no polygon of three or more points"
    if any_outside:
        # Clip exactly: moving the outside vertices to the border would bend the edges that cross it.
        clipped = CropTransform(0, 0, width, height).apply_polygons([points.reshape(-1, 2) for points in kept])
        kept = [points.reshape(-1) for points in clipped]
        if not kept:
            return None, f"has a polygon completely outside its {width}x{height} image"
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
    # This check must come before pycocotools decodes the RLE: its decoder writes as many pixels as the counts add up
    # to, whatever the size of its buffer.
    if runs.sum() != height * width:
        return None, f"has an RLE for {runs.sum()} pixels, expected {height * width} ({width}x{height})"
    if isinstance(counts, list):
        return mask_api.frPyObjects({"size": [height, width], "counts": counts}, height, width), None
    return {"size": [height, width], "counts": counts}, None


def decode_counts(counts: str) -> np.ndarray | None:
    """Decode a compressed RLE string to run lengths (int64); return None if it is malformed.

    In COCO's encoding each character, counted from "0", carries 5 bits of a run length, least significant bits first.
    Bit 5 is set if more characters of the same run length follow, and bit 4 of the last character is the sign. From the
    fourth run on, the stored value is the difference to the run two before, that is, to the previous run of the same
    pixel value.
    """
    codes = np.frombuffer(counts.encode("latin-1", "replace"), dtype=np.uint8).astype(np.int64) - 48
    if len(codes) == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 0x20:
        return None
    ends = np.flatnonzero((codes & 0x20) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MAX_CHARACTERS:
        return None
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 0x1F) << shifts, starts)
    # Two's complement: a set sign bit is worth minus 2 ** (number of bits).
    runs -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * lengths), 0)
    # Undo the differences separately for even and odd runs; runs 0 to 2 are stored as they are.
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs
