"""Images with more than 8 bits per channel, HEIC photos, and files with several frames."""

import io
import resource
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.data.image_file import read_image, read_rgb_image

VALUES = np.arange(6 * 8 * 3, dtype=np.uint16).reshape(6, 8, 3) * 25 + 100  # 100 to 3675
# 100 is black and 1120 is white: 4 values of the file are one of the result.
RANGE = (100.0, 1120.0)
EXPECTED = np.minimum(np.rint((VALUES - 100.0) / 4), 255).astype(np.uint8)


def encode(suffix: str, values: np.ndarray, *options: int) -> bytes:
    stored = values if values.ndim == 2 else np.dstack([values[:, :, 2::-1], values[:, :, 3:]])
    return cv2.imencode(suffix, stored, options)[1].tobytes()


def saved(image: Image.Image, image_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def pgm(header: bytes, values: np.ndarray) -> bytes:
    return header + values.astype(">u2").tobytes()


GREY = VALUES[:, :, 0]
COLOURS = {
    "PNG": encode(".png", VALUES),
    "PNG with transparency": encode(".png", np.dstack([VALUES, GREY])),
    "TIFF": encode(".tif", VALUES),
    "PPM": pgm(b"P6 8 6 65535\n", VALUES),
    "PPM of 12 bits": pgm(b"P6 8 6 4095\n", VALUES),
}
GREYS = {
    "PNG": encode(".png", GREY),
    "TIFF": encode(".tif", GREY),
    "float": saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
    "int": saved(Image.fromarray(GREY.astype(np.int32)), "TIFF"),
    "PGM of 12 bits": pgm(b"P5 8 6 4095\n", GREY),
    "JPEG 2000": saved(Image.fromarray(GREY), "JPEG2000"),
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours_are_scaled_from_the_given_range(name):
    found = read_rgb_image(io.BytesIO(COLOURS[name]), "deep", value_range=RANGE)
    np.testing.assert_array_equal(found, EXPECTED)


@pytest.mark.parametrize("name", GREYS)
def test_grey_values_are_scaled_from_the_given_range(name):
    found = read_rgb_image(io.BytesIO(GREYS[name]), "deep", value_range=RANGE)
    np.testing.assert_array_equal(found, EXPECTED[:, :, :1].repeat(3, axis=2))


def test_a_large_jpeg2000_in_colour():
    values = np.random.default_rng(0).integers(0, 4096, (128, 128, 3), np.uint16)
    content = encode(".jp2", values, cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000)  # lossless
    found = read_rgb_image(io.BytesIO(content), "deep", value_range=(0, 4080))
    np.testing.assert_array_equal(found, np.minimum(np.rint(values / 16), 255))


def test_values_that_are_not_numbers_are_black_and_infinite_ones_are_clipped():
    values = np.array([[np.nan, -np.inf, np.inf, 0.5]], np.float32)
    found = read_rgb_image(io.BytesIO(saved(Image.fromarray(values), "TIFF")), "deep", value_range=(0, 1))
    assert found[0, :, 0].tolist() == [0, 0, 255, 128]


def test_images_of_8_bits_are_not_affected_by_the_range():
    image = Image.fromarray(EXPECTED)
    for image_format in ("PNG", "TIFF", "PPM"):
        found = read_rgb_image(io.BytesIO(saved(image, image_format)), "photo", value_range=RANGE)
        np.testing.assert_array_equal(found, EXPECTED)


def test_without_a_range_the_error_names_the_option():
    with pytest.raises(InputError, match=r"give the levels to predict: --value-range LOW HIGH \(value_range of"):
        read_rgb_image(io.BytesIO(COLOURS["PNG"]), "deep")


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_deep_images_are_turned_as_their_tags_say(image_format):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by 90 degrees
    content = saved(Image.fromarray(GREY), image_format, exif=exif)
    upright = np.rot90(EXPECTED[:, :, 0], -1)
    read = {
        turn: read_rgb_image(io.BytesIO(content), "d", apply_exif_orientation=turn, value_range=RANGE)
        for turn in (True, False)
    }
    np.testing.assert_array_equal(read[True][:, :, 0], upright)
    np.testing.assert_array_equal(read[False][:, :, 0], upright if image_format == "TIFF" else EXPECTED[:, :, 0])


def test_damaged_deep_images_are_one_sentence():
    with pytest.raises(InputError, match="deep: ") as error:
        read_rgb_image(io.BytesIO(COLOURS["PNG"][:-40]), "deep", value_range=RANGE)
    assert "\n" not in str(error.value)


def test_a_chunk_that_states_a_huge_length_takes_no_memory():
    content = COLOURS["PNG"]
    start = content.index(b"IEND") - 4
    content = content[:start] + (0x7FFFFFFF).to_bytes(4) + b"teXt" + content[start:]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="deep: not a readable image file"):
        read_rgb_image(io.BytesIO(content), "deep", value_range=RANGE)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024 < 200  # MiB


def test_a_damaged_further_frame_does_not_matter():
    frames = [Image.fromarray(np.full((9, 9), level, np.uint8)) for level in (10, 200)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    content = stream.getvalue()
    second = content.index(b"\x2c", content.index(b"\x2c") + 1)  # image descriptors begin with a comma
    for end in range(second, len(content)):
        image = read_image(io.BytesIO(content[:end]), "animation", on_further_frames=lambda: None)
        assert np.array_equal(np.array(image)[..., 0], np.array(frames[0]))


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_further_frames_are_reported_and_the_first_one_is_read(image_format):
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    reports: list[str] = []
    content = saved(first, image_format, save_all=True, append_images=[second])
    image = read_image(io.BytesIO(content), "animation", on_further_frames=lambda: reports.append("one"))
    assert reports == ["one"]
    red, _, blue = image.getpixel((8, 8))
    assert red > 200 > 100 > blue
    read_image(io.BytesIO(saved(first, image_format)), "still", on_further_frames=lambda: reports.append("two"))
    assert reports == ["one"]


def test_the_previews_of_a_camera_are_not_frames():
    first = Image.new("RGB", (16, 16), "red")
    content = saved(first, "MPO", save_all=True, append_images=[first])
    read_image(io.BytesIO(content), "photo", on_further_frames=lambda: pytest.fail("an MPO file has one image"))


HEIC_START = b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(100)


def test_heic_without_its_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError) as error:
        read_image(io.BytesIO(HEIC_START), "IMG_1.HEIC")
    assert str(error.value) == (
        "IMG_1.HEIC: HEIC images need pillow-heif: pip install '.[heif]' in the folder of EVA Vision."
    )


def test_avif_does_not_need_the_package_of_heic(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert read_image(io.BytesIO(saved(Image.new("RGB", (16, 16)), "AVIF")), "a.avif").size == (16, 16)


def test_heic_is_read_upright():
    pillow_heif = pytest.importorskip("pillow_heif")
    image = Image.fromarray(np.kron([[[250, 0, 0], [0, 250, 0]]], np.ones((32, 32, 1))).astype(np.uint8))
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    pillow_heif.from_pillow(image).save(stream, quality=90, exif=exif.tobytes())
    found = read_rgb_image(io.BytesIO(stream.getvalue()), "photo.heic").astype(int)
    assert found.shape == (64, 32, 3)  # turned clockwise: red is at the top
    np.testing.assert_allclose(found[16, 16], (250, 0, 0), atol=20)
    np.testing.assert_allclose(found[48, 16], (0, 250, 0), atol=20)
    with pytest.raises(InputError, match="not a readable image"):
        read_rgb_image(io.BytesIO(HEIC_START), "photo.heic")
