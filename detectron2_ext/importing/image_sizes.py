"""Sizes of images from their headers, for annotations that lack them."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.data.image_size import read_size

from .findings import Findings


def read_sizes(root: Path, paths: Sequence[str], findings: Findings) -> dict[str, tuple[int, int]]:
    """Return (width, height) of the images `paths` below `root`, without those that `findings` gets as bad files."""

    def read(path: str) -> tuple[int, int] | InputError:
        try:
            return read_size(root / path)
        except InputError as error:
            return error

    sizes = {}
    with ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
        for path, size in zip(paths, pool.map(read, paths, chunksize=64), strict=True):
            if isinstance(size, InputError):
                findings.refuse(path, size)
            else:
                sizes[path] = size
    return sizes
