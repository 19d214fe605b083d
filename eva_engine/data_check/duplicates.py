"""Find equal and nearly equal images by their hashes."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

# Of 64 bits. Saving a photo again as JPEG or at another size changes 0 to 2 bits; other photos differ in 20 to 40.
MAX_DISTANCE = 3
_NUM_BANDS = MAX_DISTANCE + 1
_BAND_BITS = 64 // _NUM_BANDS
_MAX_COMPARED = 200  # neighbours of an image in a band, so that many equal bands do not take quadratic time


def exact_groups(digests: Sequence[bytes]) -> list[list[int]]:
    """Return the indices of equal digests, in groups of two or more; empty digests are left out."""
    groups: dict[bytes, list[int]] = {}
    for index, digest in enumerate(digests):
        if digest:
            groups.setdefault(digest, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def near_groups(fingerprints: Sequence[int | None]) -> list[list[int]]:
    """Return the indices of fingerprints that differ in at most `MAX_DISTANCE` bits, in groups of two or more.

    Two of them agree in at least one of four bands of 16 bits, so only images that share a band are compared.
    """
    kept = [index for index, fingerprint in enumerate(fingerprints) if fingerprint is not None]
    if len(kept) < 2:
        return []
    values = np.array([fingerprints[index] for index in kept], dtype=np.uint64)
    firsts, seconds = [], []
    for band in range(_NUM_BANDS):
        keys = (values >> np.uint64(band * _BAND_BITS)) & np.uint64(2**_BAND_BITS - 1)
        order = np.lexsort((values, keys))
        for step in range(1, _MAX_COMPARED + 1):
            left, right = order[:-step], order[step:]
            same_band = keys[left] == keys[right]
            if not same_band.any():
                break
            left, right = left[same_band], right[same_band]
            near = np.bitwise_count(values[left] ^ values[right]) <= MAX_DISTANCE
            firsts.append(left[near])
            seconds.append(right[near])
    if not firsts:
        return []
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    edges = coo_matrix((np.ones(len(first), np.int8), (first, second)), shape=(len(kept), len(kept)))
    return _groups(connected_components(edges, directed=False)[1], kept)


def _groups(labels: Iterable[int], indices: Sequence[int]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for label, index in zip(labels, indices, strict=True):
        groups.setdefault(label, []).append(index)
    return [group for group in groups.values() if len(group) > 1]
