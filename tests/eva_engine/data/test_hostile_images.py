"""Files that are made to mislead, or to take time and memory out of proportion: each is refused with one sentence."""

import io
import os
import re
import resource
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.data import read_rgb_image
from eva_engine.data.image_checks import MAX_PIXELS
from eva_engine.data.image_file import read_image
from eva_semseg.data.label_file import read_labels
from tests.fuzz import images as fuzz

MAX_SECONDS = 2
MAX_MIB = 200


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def png(width: int, height: int, bits: int, colors: int, rows: bytes, chunks: tuple = ()) -> bytes:
    """A PNG with any header, of which Pillow's writer makes only some."""
    header = struct.pack(">IIBBBBB", width, height, bits, colors, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for kind, data in ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        parts.append(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return b"".join(parts)


def tiff(size: tuple[int, int], data: bytes, *, bits: tuple[int, ...] = (8,), compression: int = 1) -> bytes:
    """A TIFF of one strip."""
    depths = struct.pack(f"<{len(bits)}H", *bits)
    tags = {256: (4, size[0]), 257: (4, size[1]), 259: (3, compression), 262: (3, 2 if len(bits) == 3 else 1)}
    tags |= {273: (4, 8), 277: (3, len(bits)), 278: (4, size[1]), 279: (4, len(data))}
    tags[258] = (3, bits[0]) if len(bits) == 1 else (3, 8 + len(data))
    directory = struct.pack("<H", len(tags))
    for tag, (kind, value) in sorted(tags.items()):
        directory += struct.pack("<HHII", tag, kind, len(bits) if tag == 258 else 1, value)
    return b"II*\0" + struct.pack("<I", 8 + len(data) + len(depths)) + data + depths + directory + bytes(4)


def scan_bomb(num_scans: int, size: int = 1024) -> bytes:
    """A progressive JPEG that repeats its last scan."""
    content = encoded(Image.new("L", (size, size), 128), "JPEG", progressive=True)
    last_scan = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last_scan * num_scans + content[-2:]


def bmp_rle(width: int, height: int) -> bytes:
    """A BMP whose rows are all empty."""
    data = b"\0\0" * height
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 1078 + len(data), 0, 0, 1078) + header + bytes(1024) + data


def jpeg2000_of_12_bits(**options: object) -> bytes:
    content = bytearray(encoded(Image.new("RGB", (8, 8), (9, 9, 9)), "JPEG2000", **options))
    first = content.index(b"\xff\x4f\xff\x51") + 42
    content[first : first + 9 : 3] = b"\x0b\x0b\x0b"
    return bytes(content)


NOISE = np.random.default_rng(0).integers(0, 256, 100_000, np.uint8).tobytes()
TWELVE_BITS = np.arange(0, 4096, 64).astype(">u2")  # 64 values
PPM_16 = b"P6 4 4 4095\n" + TWELVE_BITS[:48].tobytes()


@pytest.mark.parametrize(
    "content",
    [
        png(8, 2, 16, 2, (b"\0" + TWELVE_BITS[:24].tobytes()) * 2),
        png(8, 2, 16, 4, (b"\0" + TWELVE_BITS[:16].tobytes()) * 2),
        png(8, 2, 16, 6, (b"\0" + TWELVE_BITS[:32].tobytes()) * 2),
        png(8, 2, 16, 2, (b"\0" + b"\xff\xff" * 24) * 2),  # the full range, which no header states
        png(8, 2, 16, 0, (b"\0" + TWELVE_BITS[:8].tobytes()) * 2),
        tiff((4, 4), TWELVE_BITS[:48].astype("<u2").tobytes(), bits=(16, 16, 16)),
        tiff((4, 4), zlib.compress(TWELVE_BITS[:48].astype("<u2").tobytes()), bits=(16, 16, 16), compression=8),
        encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"),
        encoded(Image.fromarray(np.zeros((4, 4), np.int32)), "TIFF"),
        PPM_16,
        PPM_16.replace(b"4095", b"65535"),
        b"P3 1 1 4095\n1 2 3\n",
        b"P2 1 1 4095\n1\n",
        encoded(Image.fromarray(np.zeros((4, 4), np.uint16)), "JPEG2000"),
        jpeg2000_of_12_bits(),
        jpeg2000_of_12_bits(no_jp2=True),
    ],
)
@pytest.mark.parametrize("from_stream", [False, True])
def test_more_than_8_bits_per_channel_are_refused(tmp_path, content, from_stream):
    (tmp_path / "wide").write_bytes(content)
    source = io.BytesIO(content) if from_stream else tmp_path / "wide"
    with pytest.raises(
        InputError, match=r"wide: more than 8 bits per channel \(.*\), so .*; convert the image to 8 bi"
    ):
        read_rgb_image(source, str(tmp_path / "wide"))


@pytest.mark.parametrize(("bits", "values"), [(1, 2), (2, 4), (4, 16), (8, 256)])
def test_fewer_bits_are_scaled_to_the_full_range(bits, values):
    row = np.arange(8) % values
    packed = np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, -bits:]
    image = read_rgb_image(io.BytesIO(png(8, 1, bits, 0, b"\0" + np.packbits(packed).tobytes())), "grey")
    assert image[0, :, 0].tolist() == (row * 255 // (values - 1)).tolist()


def test_a_ppm_states_its_range():
    image = read_rgb_image(io.BytesIO(b"P6 1 1 15\n\x00\x05\x0f"), "ppm")
    assert image.tolist() == [[[0, 85, 255]]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (scan_bomb(2000), r"20\d\d scans in a file of 1024x1024 pixels, .* too long"),
        (tiff((1024, 1024), scan_bomb(2000), compression=7), "not a readable image"),
        (png(60_000, 60_000, 8, 2, b""), "more than 100,000,000 pixels, the limit"),  # Pillow's own limit
        (png(10_001, 10_000, 8, 2, b""), "more than 100,000,000 pixels, the limit"),
        (b"GIF89a\xff\xff\xff\xff" + encoded(Image.new("P", (4, 4)), "GIF")[10:], "more than 100,000,000 pixels"),
        (tiff((20_000, 20_000), b""), "more than 100,000,000 pixels"),
        (tiff((10_000, 10_000), b""), "truncated"),
        (bmp_rle(10_000, 10_000), "run lengths in a file of 10000x10000 pixels"),
        (tiff((8, 12_000_000), NOISE, bits=(1,), compression=2), "fax lines in a file of 8x12000000 pixels"),
        (tiff((8, 12_000_000), NOISE, bits=(1,), compression=3), "fax lines in a file of 8x12000000 pixels"),
        (b"P2 1000 1000 255\n" + b"#\n" * 1_000_000, "comments in a file of 1000x1000 pixels"),
        (b"P2 1000 1000 255\n" + b"1" * 1_000_000, "not a readable image"),
        (png(8, 8, 8, 2, bytes(8 * 25), ((b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000))),)), "too large"),
        (b"\x89PNG\r\n\x1a\n", "not a readable image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "its format is unknown"),
        (b"", "its format is unknown"),
    ],
)
@pytest.mark.parametrize("kind", ["image", "label"])
def test_files_out_of_proportion_are_refused(tmp_path, content, reason, kind):
    path = tmp_path / "bomb"
    path.write_bytes(content)
    memory, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    read = read_rgb_image if kind == "image" else lambda path: read_labels(str(path), 2)
    with pytest.raises(InputError, match=reason.replace("image", kind) + "|expected one class index") as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert time.process_time() - started < MAX_SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024 < MAX_MIB


def test_usual_progressive_images_are_read():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    content = encoded(noise, "JPEG", progressive=True, quality=95)
    assert 5 < content.count(b"\xff\xda") < 15
    # The largest image that is allowed may have this many scans.
    assert 15 * MAX_PIXELS < 2_000_000_000
    assert read_rgb_image(io.BytesIO(content), "photo").shape == (64, 64, 3)
    assert read_rgb_image(io.BytesIO(scan_bomb(90, 512)), "small").shape == (512, 512, 3)
    fax = tiff((8, 8), encoded(Image.new("1", (8, 8)), "TIFF", compression="group4")[8:9], bits=(1,), compression=4)
    assert read_image(io.BytesIO(fax), "fax").size == (8, 8)


@pytest.mark.parametrize("orientation", [b"\0\x09", b"\0\0", b"\xff\xff"])
def test_damaged_orientation_tags_leave_the_image_as_it_is_stored(orientation):
    tags = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + orientation + b"\0\0\0\0\0\0"
    image = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(4, 6, 3))
    for exif in (tags, tags[:13], b"MM", b"rubbish"):
        content = encoded(image, "PNG", exif=exif)
        assert (read_rgb_image(io.BytesIO(content), "photo") == np.array(image)).all()


@pytest.mark.parametrize("bits", [2, 4])
def test_labels_that_would_be_scaled_are_refused(tmp_path, bits):
    (tmp_path / "labels.png").write_bytes(png(8, 1, bits, 0, b"\0" + bytes(range(bits))))
    with pytest.raises(InputError, match="scaled grey pixels, expected one class index"):
        read_labels(str(tmp_path / "labels.png"), 256)
    (tmp_path / "labels.pgm").write_bytes(b"P5 2 1 9\n\x01\x09")
    with pytest.raises(InputError, match="scaled grey pixels, expected one class index"):
        read_labels(str(tmp_path / "labels.pgm"), 256)
    (tmp_path / "labels.pgm").write_bytes(b"P5 2 1 255\n\x01\x09")
    assert read_labels(str(tmp_path / "labels.pgm"), 256).tolist() == [[1, 9]]


def test_files_that_are_not_regular(tmp_path):
    with pytest.raises(InputError, match="not a regular file; replace it with the image file"):
        read_rgb_image("/dev/zero")
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}: not a regular file")):
        read_rgb_image(tmp_path)
    huge = tmp_path / "huge.jpg"
    huge.touch()
    os.truncate(huge, 100 << 30)
    with pytest.raises(InputError, match="more than 1,073,741,824 bytes, the limit"):
        read_rgb_image(huge)
    box = encoded(Image.new("RGB", (8, 8)), "JPEG2000").replace(b"\0\0\0\x2djp2h", b"\0\0\0\1jp2h" + b"\0\0\0\x20" * 2)
    (tmp_path / "box.jp2").write_bytes(box)
    assert b"\0\0\0\1jp2h" in box
    with pytest.raises(InputError, match="not a readable image file"):
        read_rgb_image(tmp_path / "box.jp2")
    with pytest.raises(InputError, match="no such image file; check the image folder"):
        read_rgb_image(Path(tmp_path, "missing.png"))


def test_mutated_images_are_read_as_by_pillow_or_refused():
    fuzz.run(200, seed=0)
