"""Limits that an image file has to keep, checked in its header before any pixel is decoded."""

from PIL import ExifTags, Image, ImageFile, TiffImagePlugin

from eva_backbone.errors import InputError

# For all tasks and verbs. Reading a progressive JPEG of this size takes almost 2 GB of memory.
MAX_PIXELS = 100_000_000
MAX_BYTES = 1 << 30
# Each scan of a JPEG visits every pixel, for about 1 ns, but may consist of a few bytes. Cameras and encoders write up
# to about 12 scans, and more only for small images.
_MAX_SCANNED_PIXELS = 2_000_000_000
_START_OF_SCAN = b"\xff\xda"
# Pillow decodes run-length encoded BMP files in Python, at 0.1 to 0.2 µs per pixel.
_MAX_RLE_PIXELS = 20_000_000
# For every damaged row of a fax, libtiff writes a line to the terminal and continues.
_MAX_FAX_SIDE = 20_000
_FAX_COMPRESSIONS = ("tiff_ccitt", "group3", "group4", "tiff_raw_16")
# For every comment between the numbers of a plain PPM, Pillow copies up to a megabyte.
_MAX_COMMENTS = 1_000
_JPEG2000_SIZE = b"\xff\x4f\xff\x51"  # the marker that starts a codestream, and that of the sizes
# Bytes from the start of a JPEG 2000 codestream to the depth of the first channel, and from one depth to the next.
_JPEG2000_DEPTHS, _JPEG2000_STRIDE = 42, 3
_WIDE_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def check_cost(name: str, image: ImageFile.ImageFile, content: bytes, kind: str = "image") -> None:
    """Check that decoding takes a bounded time and memory.

    Args:
        name: Name of the file for messages.
        image: Opened, not decoded.
        content: Bytes of the file.
        kind: Noun for the kind of file in messages.

    Raises:
        PIL.Image.DecompressionBombError: The image has more than `MAX_PIXELS` pixels.
        InputError: Decoding it would take too long for its size.
    """
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    cause = _slow_part(image, content)
    if cause:
        raise InputError(
            f"{name}: {cause} in a file of {image.width}x{image.height} pixels, which would take too long to decode; "
            f"save the {kind} again with the usual settings of its format."
        )


def _slow_part(image: ImageFile.ImageFile, content: bytes) -> str:
    """Return what makes decoding slow out of proportion to the file and the number of pixels; "" if nothing does."""
    num_pixels = image.width * image.height
    decoder = image.tile[0].codec_name if image.tile else ""
    if decoder == "jpeg":
        # Compressed data never contain a marker, so this counts all scans; thumbnails in the header add a few.
        num_scans = content.count(_START_OF_SCAN)
        if num_scans * num_pixels > _MAX_SCANNED_PIXELS:
            return f"{num_scans} scans"
    if decoder == "bmp_rle" and num_pixels > _MAX_RLE_PIXELS:
        return "run lengths"
    if image.info.get("compression") in _FAX_COMPRESSIONS and max(image.size) > _MAX_FAX_SIDE:
        return "fax lines"
    if decoder == "ppm_plain" and content.count(b"#") > _MAX_COMMENTS:
        return f"more than {_MAX_COMMENTS:,} comments"
    return ""


def check_depth(name: str, image: ImageFile.ImageFile, content: bytes) -> None:
    """Check that an image has at most 8 bits per channel.

    Pillow reduces more bits to 8, to nearly white for one channel and, as most cameras and microscopes use only the
    lower part of 16 bits, to nearly black for several. AVIF and HEIC are excepted: their files of 10 or 12 bits use the
    full range.

    Args:
        name: Name of the file for messages.
        image: Opened, not decoded.
        content: Bytes of the file.

    Raises:
        InputError: It has more.
    """
    if is_deep(image, content):
        raise InputError(
            f"{name}: more than 8 bits per channel ({image.mode}), so black and white levels are unknown; "
            "convert the image to 8 bits first, or give the levels to predict: --value-range LOW HIGH (value_range of "
            "eva_vision.load)."
        )


def is_deep(image: ImageFile.ImageFile, content: bytes) -> bool:
    """Return whether an opened image has more than 8 bits per channel; False for AVIF and HEIC, see `check_depth`."""
    return image.mode in _WIDE_MODES or _is_reduced(image, content)


def _is_reduced(image: ImageFile.ImageFile, content: bytes) -> bool:
    """Return whether Pillow would reduce an image of several channels to 8 bits without a message."""
    if image.format == "PNG":
        return str(image.tile[0].args).endswith("16B")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return max(image.tag_v2.get(ExifTags.Base.BitsPerSample, (1,))) > 8
    if image.format == "PPM":  # the arguments of its decoders are the mode and the largest value
        arguments = image.tile[0].args
        return isinstance(arguments, tuple) and arguments[1] > 255
    if image.format == "JPEG2000":
        first = content.find(_JPEG2000_SIZE) + _JPEG2000_DEPTHS
        depths = content[first : first + _JPEG2000_STRIDE * len(image.getbands()) : _JPEG2000_STRIDE]
        return any((depth & 0x7F) + 1 > 8 for depth in depths)
    return False
