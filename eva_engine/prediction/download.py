"""Download inputs that are HTTP addresses to temporary files, with limits on size and time."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eva_backbone.errors import InputError

from .addresses import is_http
from .http_reader import HttpReader
from .inputs import Input

MAX_DOWNLOAD_BYTES = 2 << 30
MAX_DOWNLOAD_SECONDS = 600.0
_BLOCK = 1 << 18


@contextmanager
def local_file(item: Input) -> Iterator[Path]:
    """Yield the file of an input, which is downloaded if it is an HTTP address and removed after the block.

    Raises:
        InputError: The input is a camera or an RTSP stream, or the download fails. Errors of the block name the
            address in place of the temporary file.
    """
    if not item.address:
        yield item.path
        return
    if not is_http(item.address):
        raise InputError(f"{item.name}: this model reads video files, not cameras or streams; record it to a file.")
    with HttpReader(item.address, MAX_DOWNLOAD_SECONDS) as reader, downloaded(reader, item) as path:
        yield path


@contextmanager
def downloaded(reader: HttpReader, item: Input) -> Iterator[Path]:
    """Yield a temporary file with the rest of what `reader` reads; see `local_file`."""
    with tempfile.TemporaryDirectory(prefix="eva-vision-") as folder:
        path = Path(folder, item.path.name)
        try:
            _save(reader, path)
            yield path
        except InputError as error:
            raise InputError(str(error).replace(str(path), item.name)) from error


def _save(reader: HttpReader, path: Path) -> None:
    if reader.length is not None and reader.length > MAX_DOWNLOAD_BYTES:
        raise _too_large(reader)
    num_bytes, expected = 0, reader.length
    try:
        with path.open("wb") as file:
            while content := reader.read(_BLOCK):
                num_bytes += len(content)
                if num_bytes > MAX_DOWNLOAD_BYTES:
                    raise _too_large(reader)
                file.write(content)
    except OSError as error:
        raise InputError(
            f"{reader.name}: the download cannot be stored in {path.parent.parent} ({error.strerror or error}); make "
            "room there, or set TMPDIR."
        ) from error
    if expected is not None and num_bytes < expected:
        raise InputError(f"{reader.name}: the download ended after {num_bytes:,} of {expected:,} bytes; try again.")


def _too_large(reader: HttpReader) -> InputError:
    return InputError(
        f"{reader.name}: more than {MAX_DOWNLOAD_BYTES:,} bytes, the limit of downloads; download it and give the file."
    )
