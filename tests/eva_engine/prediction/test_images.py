"""Images from good and damaged files; files that appear only when they are complete."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.data import read_rgb_image
from eva_engine.prediction.images import save_image

# Four colours, one a corner: top left, top right, bottom left, bottom right.
CORNERS = np.array([[[250, 0, 0], [0, 250, 0]], [[0, 0, 250], [250, 250, 250]]], dtype=np.uint8)
IMAGE = CORNERS.repeat(24, axis=0).repeat(32, axis=1)  # 48 rows, 64 columns


def encoded(image: np.ndarray = IMAGE, suffix: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, suffix, **options)
    return stream.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A valid PNG that announces any size and holds no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("suffix", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "PPM", "MPO"])
def test_formats(tmp_path, suffix):
    (tmp_path / "image").write_bytes(encoded(suffix=suffix))
    image = read_rgb_image(tmp_path / "image")
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8
    np.testing.assert_allclose(image[12::24, 16::32].astype(int), CORNERS, atol=12)


@pytest.mark.parametrize(
    ("orientation", "shown"),
    [(1, CORNERS), (2, CORNERS[:, ::-1]), (3, CORNERS[::-1, ::-1]), (6, np.rot90(CORNERS, -1)), (8, np.rot90(CORNERS))],
)
def test_exif_orientation(tmp_path, orientation, shown):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "photo.jpg").write_bytes(encoded(suffix="JPEG", exif=exif, quality=95))
    image = read_rgb_image(tmp_path / "photo.jpg")
    height, width = image.shape[:2]
    np.testing.assert_allclose(image[height // 4 :: height // 2, width // 4 :: width // 2].astype(int), shown, atol=12)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA"])
def test_other_modes_become_rgb(tmp_path, mode):
    Image.fromarray(IMAGE).convert("L" if mode == "LA" else mode).convert(mode).save(tmp_path / "image.tif")
    assert read_rgb_image(tmp_path / "image.tif").shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "format is unknown"),
        (b"hello", "format is unknown"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "format is unknown"),
        (encoded(np.random.default_rng(0).integers(0, 255, (99, 99, 3), np.uint8), "JPEG")[:2000], "truncated"),
        (encoded()[:60], "not a readable image"),
        (encoded(suffix="WEBP")[:40], "not a readable image"),
        (png_header(20_000, 20_000), "pixels"),
        (png_header(11_000, 11_000), "more than 100,000,000"),
        (encoded(np.zeros((4, 4), np.uint16)), "8 bits"),
        (encoded(np.zeros((4, 4), np.float32), "TIFF"), "8 bits"),
    ],
)
def test_unusable_files_are_named(tmp_path, content, reason):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as error:
        read_rgb_image(path)
    assert str(error.value).startswith(str(path))


def test_saved_image_keeps_thin_colored_lines(tmp_path):
    image = np.full((64, 64, 3), 40, dtype=np.uint8)
    image[30:32] = (255, 30, 30)
    save_image(image, tmp_path / "new" / "folder" / "out.jpg")
    saved = read_rgb_image(tmp_path / "new" / "folder" / "out.jpg")
    assert np.abs(saved.astype(int) - image).max() < 30


def test_images_too_large_for_jpeg_are_refused(tmp_path):
    with pytest.raises(InputError, match="65501x1 pixels"):
        save_image(np.zeros((1, 65_501, 3), np.uint8), tmp_path / "wide.jpg")
    assert not list(tmp_path.iterdir())
    save_image(np.zeros((1, 65_500, 3), np.uint8), tmp_path / "wide.jpg")
