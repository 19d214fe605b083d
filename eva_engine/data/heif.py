"""Read HEIC photos, which recent phones take, with the optional package pillow-heif."""

from eva_backbone.errors import InputError, install_extra

# The file type box of a HEIF file begins it, with one of these brands; "mif1" and "msf1" are also those of AVIF files,
# which Pillow reads itself, and which name "avif" or "avis" as well.
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")


def is_heif(content: bytes) -> bool:
    """Return whether the bytes of a file begin like those of a HEIC or HEIF image."""
    if content[4:8] != b"ftyp" or content[8:12] not in _BRANDS:
        return False
    box = content[8 : int.from_bytes(content[:4])]
    return not any(brand in box[:256] for brand in _AVIF_BRANDS)


def register_heif(name: str) -> None:
    """Make Pillow read HEIF files, as its format "HEIF".

    Args:
        name: Name of the file for the message.

    Raises:
        InputError: pillow-heif is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise InputError(f"{name}: HEIC images need pillow-heif: {install_extra('heif')}.") from error
    pillow_heif.register_heif_opener()
