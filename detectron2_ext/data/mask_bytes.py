"""Checked masks as bytes and back, for columns of any length."""

import numpy as np

_POLYGONS, _RLE_TEXT, _RLE_BYTES = b"P", b"T", b"B"


def encode_mask(mask: list[np.ndarray] | dict | None) -> bytes:
    """Return the bytes of a mask of `clip_segmentation`; empty for no mask.

    Polygons have the number of coordinates of each first. The size of an RLE is that of its image and is left out.
    """
    if mask is None:
        return b""
    if isinstance(mask, dict):
        counts = mask["counts"]
        if isinstance(counts, str):
            return _RLE_TEXT + counts.encode()
        return _RLE_BYTES + counts
    sizes = np.array([len(mask), *(len(polygon) for polygon in mask)], dtype="<u4")
    return _POLYGONS + sizes.tobytes() + np.concatenate(mask).astype("<f8").tobytes()


def decode_mask(encoded: bytes, height: int, width: int) -> list[np.ndarray] | dict:
    """Return the mask of an image of this size in pixels."""
    kind, content = encoded[:1], encoded[1:]
    if kind != _POLYGONS:
        return {"size": [height, width], "counts": content.decode() if kind == _RLE_TEXT else content}
    count = int(np.frombuffer(content, "<u4", 1)[0])
    sizes = np.frombuffer(content, "<u4", count, 4)
    points = np.frombuffer(content, "<f8", offset=4 * (count + 1)).astype(np.float64)
    return [part.copy() for part in np.split(points, np.cumsum(sizes)[:-1])]
