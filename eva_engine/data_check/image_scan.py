"""Read every image of a dataset once: whether it can be used, its size, and what tells equal images apart."""

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import IO

import numpy as np
from PIL import ExifTags, Image
from scipy.fft import dctn
from tqdm import tqdm

from eva_backbone.errors import InputError
from eva_engine.data.image_file import image_errors, open_regular_file, opened_image, read_image

_THUMBNAIL = 32  # pixels; the 8 x 8 lowest frequencies of its cosine transform give 64 bits, less one for the mean
_FREQUENCIES = 8
_MIN_CONTRAST = 3.0  # standard deviation of 8-bit grey; flatter images have no structure to compare
_THUMBNAIL_SIDE = 320


@dataclass(frozen=True)
class ImageSource:
    """An image of a dataset.

    Attributes:
        name: File of the image for messages.
        open: Function that opens it; None if `name` is the path of the file.
        size: (width, height) that the annotation gives; None if it gives none.
        label: Name of its class, if it has one class.
    """

    name: str
    open: Callable[[], IO[bytes]] | None = None
    size: tuple[int, int] | None = None
    label: str = ""

    def read(self) -> Image.Image:
        """Read the image as RGB, turned as its orientation tag says; raise InputError if that is not possible."""
        with image_errors(self.name), self._opened() as file:
            return read_image(file, self.name)

    def thumbnail(self) -> np.ndarray:
        """Return the image as RGB [H, W, 3] uint8 of at most 320 pixels per side."""
        image = self.read()
        image.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
        return np.asarray(image)

    def _opened(self) -> IO[bytes]:
        return open_regular_file(self.name) if self.open is None else self.open()


@dataclass(frozen=True)
class ScannedImage:
    """What the scan of an image found.

    Attributes:
        source: The image.
        problem: Why it cannot be used; "" if it can.
        size: (width, height), after the turn that the orientation tag asks for.
        orientation: Value of the orientation tag, 1 without one.
        digest: Digest of the bytes of the file.
        fingerprint: Perceptual hash of 64 bits; None for an image without structure.
    """

    source: ImageSource
    problem: str = ""
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    digest: bytes = b""
    fingerprint: int | None = None


def scan_images(sources: Sequence[ImageSource], part: str) -> list[ScannedImage]:
    """Read all images, in as many threads as there are processors; `part` is the name in the progress bar."""
    num_threads = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(num_threads) as pool:
        scans = pool.map(_scan, sources, chunksize=1)
        return list(tqdm(scans, f"{part} images", total=len(sources), disable=None, leave=False))


def _scan(source: ImageSource) -> ScannedImage:
    try:
        with image_errors(source.name), source._opened() as file:
            content = file.read()
        with opened_image(io.BytesIO(content), source.name) as (image, _):
            orientation = _orientation(image)
        pixels = read_image(io.BytesIO(content), source.name)
    except InputError as error:
        return ScannedImage(source, str(error))
    digest = hashlib.blake2b(content, digest_size=16).digest()
    return ScannedImage(source, "", pixels.size, orientation, digest, perceptual_hash(pixels))


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # reading damaged tags raises nearly any exception
        return 1


def perceptual_hash(image: Image.Image) -> int | None:
    """Return 64 bits that hardly change when an image is resized or compressed; None for an image without structure.

    The bits say which of the 64 lowest frequencies of the cosine transform of a thumbnail of 32 x 32 pixels exceed
    their median (Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010).
    """
    grey = image.convert("L").resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BILINEAR, reducing_gap=3.0)
    pixels = np.asarray(grey, dtype=np.float64)
    if pixels.std() < _MIN_CONTRAST:
        return None
    low = dctn(pixels, norm="ortho")[:_FREQUENCIES, :_FREQUENCIES].ravel()
    bits = low > np.median(low[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def side_by_side(*sources: ImageSource) -> Callable[[], np.ndarray]:
    """Return a function that draws images next to each other, as RGB [H, W, 3] uint8."""
    return partial(_draw_row, sources)


def _draw_row(sources: Sequence[ImageSource]) -> np.ndarray:
    thumbnails = [source.thumbnail() for source in sources]
    height = max(len(thumbnail) for thumbnail in thumbnails)
    padded = [np.pad(each, [(0, height - len(each)), (0, 4), (0, 0)], constant_values=255) for each in thumbnails]
    return np.concatenate(padded, axis=1)
