"""List the members of tar files, in time and memory that the size of the file bounds.

`tarfile` reads as many bytes as a header claims, and nests a call per long-name header.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

# Far above the length of any name or set of attributes.
_MAX_EXTENSION = 1 << 20
_LONG_NAME, _LONG_LINK, _SPARSE = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.GNUTYPE_SPARSE
_EXTENSIONS = (_LONG_NAME, _LONG_LINK, tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE)


class TarMember(NamedTuple):
    """A member of a tar file.

    Attributes:
        name: Path in the archive. Bytes that are not UTF-8 are escape sequences.
        start: Position of its content in the file, in bytes.
        size: Number of bytes of its content, all of which exist.
        kind: "file", "folder", or "other" for links, devices and sparse files.
    """

    name: str
    start: int
    size: int
    kind: str


def list_members(path: Path) -> Iterator[TarMember]:
    """Yield the members of an uncompressed tar file without reading their contents.

    Raises:
        tarfile.ReadError: The file is damaged or cut off after the members so far, or another file was appended to it.
        OSError: The file cannot be read.
    """
    num_bytes = path.stat().st_size
    with open(path, "rb") as file:
        extensions: dict[str, str] = {}
        while True:
            header = _read_header(file)
            if header is None:
                return
            size = int(extensions["size"]) if extensions.get("size", "").isdecimal() else header.size
            name = extensions.get("path", header.name)
            has_content = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
            if header.type in _EXTENSIONS:
                content = _read_extension(file, header)
                if header.type == _LONG_NAME:
                    extensions["path"] = content.rstrip(b"\0").decode("utf-8", "backslashreplace")
                elif header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                    extensions.update(_parse_attributes(content))
                continue
            start = file.tell()
            if has_content:
                if not 0 <= size <= num_bytes - start:
                    raise tarfile.ReadError(f"{name} is cut off")
                file.seek(start + _padded(size))
            is_sparse = header.type == _SPARSE or any(key.startswith("GNU.sparse") for key in extensions)
            kind = "folder" if header.isdir() else "file" if header.isreg() and not is_sparse else "other"
            yield TarMember(name, start, size, kind)
            extensions = {}


def _read_header(file: IO[bytes]) -> tarfile.TarInfo | None:
    """Read a header, with the blocks that continue it; None at the end mark, a block of zeros."""
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it ends without the end mark of a tar file")
    if not any(block):
        if any(file.read(_MAX_EXTENSION)):
            raise tarfile.ReadError("data follows its end mark, as if tar files had been joined")
        return None
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "backslashreplace")
    except tarfile.HeaderError as error:
        raise tarfile.ReadError(f"invalid header: {error}") from error
    is_continued = header.type == _SPARSE and block[482]
    while is_continued:
        block = file.read(tarfile.BLOCKSIZE)
        is_continued = len(block) == tarfile.BLOCKSIZE and block[504]
    return header


def _read_extension(file: IO[bytes], header: tarfile.TarInfo) -> bytes:
    """Read the content of a header that describes the next member."""
    if not 0 <= header.size <= _MAX_EXTENSION:
        raise tarfile.ReadError(f"invalid header: {header.size} bytes of attributes")
    return file.read(_padded(header.size))[: header.size]


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _parse_attributes(content: bytes) -> dict[str, str]:
    r"""Parse the records of a PAX header, each "LENGTH KEY=VALUE\n"."""
    attributes = {}
    position = 0
    while position < len(content):
        digits = content[position : position + 20].partition(b" ")[0]
        record = content[position : position + int(digits)] if digits.isdigit() else b""
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not equals or not record.endswith(b"\n"):
            raise tarfile.ReadError("invalid header: its attributes cannot be parsed")
        attributes[key.decode("utf-8", "backslashreplace")] = value.decode("utf-8", "backslashreplace")
        position += len(record)
    return attributes
