"""Read mutated images of every format: each is read as Pillow reads it, or refused with one sentence."""

import io
import random
import re
import struct
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from eva_backbone.errors import InputError
from eva_engine.data import read_rgb_image
from eva_engine.data.image_file import FORMATS
from eva_semseg.data.label_file import read_labels

MAX_SECONDS = 10
# Reasons to refuse a file that Pillow reads.
LIMITS = re.compile(r"pixels, the limit|more than 8 bits per channel|take too long to decode")
# (format, mode, options of Pillow's `save`)
VARIANTS = (
    *(("JPEG", "RGB", {}), ("JPEG", "L", {"progressive": True}), ("JPEG", "CMYK", {}), ("MPO", "RGB", {})),
    *(("PNG", "RGB", {}), ("PNG", "P", {}), ("PNG", "1", {}), ("PNG", "LA", {}), ("PNG", "I;16", {})),
    *(("PNG", "P", {"transparency": bytes(range(256))}), ("PNG", "RGB", {"save_all": True})),
    *(("TIFF", "RGB", {}), ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "RGB", {"compression": "jpeg"})),
    *(("TIFF", "P", {"compression": "packbits"}), ("TIFF", "1", {"compression": "group4"}), ("TIFF", "I;16", {})),
    *(("WEBP", "RGB", {}), ("WEBP", "RGBA", {"lossless": True}), ("AVIF", "RGB", {}), ("BMP", "RGB", {})),
    *(("BMP", "P", {}), ("GIF", "P", {}), ("GIF", "P", {"save_all": True}), ("PPM", "RGB", {}), ("PPM", "L", {})),
    *(("JPEG2000", "RGB", {}), ("JPEG2000", "LA", {"no_jp2": True})),
)
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def encode(variant: tuple[str, str, dict], orientation: int = 1, size: tuple[int, int] = (23, 17)) -> bytes:
    """Return a noisy image of one of `VARIANTS` with an orientation tag, if its format has tags."""
    image_format, mode, options = variant
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    image = Image.fromarray(noise)
    image = image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)
    options = dict(options)
    if options.get("save_all"):
        options["append_images"] = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    exif = Image.Exif()
    exif[274] = orientation
    if image_format in ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "AVIF") and orientation > 1:
        options["exif"] = exif
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Return `content` with a few bytes flipped, fields replaced by extreme numbers, and parts cut or repeated."""
    data = bytearray(content)
    # Half of the changes are in the headers.
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        position = rng.randrange(min(len(data), rng.choice((64, 512, len(data)))) or 1)
        kind = rng.randrange(6)
        if kind <= 1:
            data[position : position + 1] = bytes([rng.randrange(256)])
        elif kind <= 3:
            field = struct.pack(rng.choice("<>") + rng.choice("IIH"), rng.choice(_EXTREMES) & 0xFFFF)
            if len(field) == 4:
                field = struct.pack(rng.choice("<>") + "I", rng.choice(_EXTREMES))
            data[position : position + len(field)] = field
        elif kind == 4:
            length = rng.randrange(1, 64)
            data[position:position] = data[position : position + length] * rng.choice((1, 2, 50))
        else:
            end = position + rng.choice((1, 4, 100, len(data)))
            del data[position:end]
    return bytes(data)


def attempt(read: Callable[[], np.ndarray]) -> tuple[np.ndarray | None, str]:
    """Return the result of a reader, or None and its refusal, which is one line."""
    refusal = ""
    try:
        return read(), refusal
    except InputError as error:
        refusal = str(error)
    assert "\n" not in refusal, refusal
    return None, refusal


def check(content: bytes, folder: Path) -> None:
    """Read a file of this content as an image and as labels, and compare the image with Pillow's."""
    path = folder / "image"
    path.write_bytes(content)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, refusal = attempt(lambda: read_rgb_image(path, on_further_frames=lambda: None))
        attempt(lambda: read_labels(str(path), 256))
    seconds = time.process_time() - started
    assert seconds < MAX_SECONDS, f"{seconds} s"
    if LIMITS.search(refusal):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = decode_by_pillow(content)
        except Exception:  # as a damaged orientation tag, which does not change the pixels, raises one in Pillow
            assert found is None or (found.dtype == np.uint8 and found.shape[2:] == (3,))
            return
    assert found is not None, refusal
    if np.array_equal(found, expected):
        return
    # libtiff leaves parts of damaged fax strips as they were in memory before, which differs from call to call.
    variants = {decode_by_pillow(content, used_memory=level).tobytes() for level in range(0, 256, 5)}
    assert len(variants) > 1, "the pixels differ from Pillow's"
    assert found.shape == expected.shape


def decode_by_pillow(content: bytes, used_memory: int = 0) -> np.ndarray:
    """Return the pixels [H, W, 3] that Pillow decodes, after memory was used that decoders may get again."""
    for size in (50, 51, 68, 136, 1000):
        np.full(size, used_memory, np.uint8)
    # From memory: Pillow mixes up the rows of uncompressed, turned TIFF files that it maps into memory itself.
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def run(rounds: int, seed: int) -> None:
    """Check `rounds` mutated images.

    Raises:
        AssertionError: An image was read differently than by Pillow, or not refused as it should be; the message gives
            the round, and with `seed` the same files are made again.
    """
    rng = random.Random(seed)
    originals = [encode(variant, orientation) for variant in VARIANTS for orientation in (1, 6)]
    with tempfile.TemporaryDirectory() as name:
        for number in range(rounds):
            content = mutate(originals[number % len(originals)], rng)
            try:
                check(content, Path(name))
            except Exception as error:
                raise AssertionError(f"round {number} of seed {seed}: {type(error).__name__}: {error}") from error
