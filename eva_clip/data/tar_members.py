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
_EXTENSIONS = (_LONG_NAME, _LONG_LINK, tarfile.XHDTYPE, tarfile.XGLTYPE)


class TarMember(NamedTuple):
    """A member: name, position and length in bytes of its content, and whether it is a "file", "folder" or "other"."""

    name: str
    start: int
    size: int
    kind: str


def list_members(path: Path) -> Iterator[TarMember]:
    """Yield the members of an uncompressed tar file without reading their contents, all of which exist.

    Bytes of names that are not UTF-8 become escape sequences. Links, devices and sparse files are of the kind "other".

    Raises:
        tarfile.ReadError, ValueError: The file is damaged or cut off after the members so far, or another file was
            appended to it.
        OSError: The file cannot be read.
    """
    num_bytes = path.stat().st_size
    attributes: dict[str, str] = {}
    with open(path, "rb") as file:
        while (header := _read_header(file)) is not None:
            if header.type in _EXTENSIONS:
                attributes |= _read_attributes(file, header)
                continue
            name, size = attributes.get("path", header.name), int(attributes.get("size", header.size))
            start = file.tell()
            if header.isreg() or header.type not in tarfile.SUPPORTED_TYPES:
                if not 0 <= size <= num_bytes - start:
                    raise tarfile.ReadError(f"{name} is cut off")
                file.seek(start + _padded(size))
            is_sparse = header.type == _SPARSE or any(key.startswith("GNU.sparse") for key in attributes)
            kind = "other"
            if header.isreg() and not is_sparse:
                kind = "file"
            elif header.isdir():
                kind = "folder"
            yield TarMember(name, start, size, kind)
            attributes = {}


def _read_header(file: IO[bytes]) -> tarfile.TarInfo | None:
    """Read a header; None at the end mark, a block of zeros."""
    block = file.read(tarfile.BLOCKSIZE)
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "backslashreplace")
    except tarfile.HeaderError as error:
        if len(block) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("it ends without the end mark of a tar file") from error
        if any(block):
            raise tarfile.ReadError(f"invalid header: {error}") from error
        if any(file.read(_MAX_EXTENSION)):
            raise tarfile.ReadError("data follows its end mark, as if tar files had been joined") from error
        return None
    flag = 482  # Position of the flag that a further block of an old sparse header follows.
    while header.type == _SPARSE and any(block[flag : flag + 1]):
        block, flag = file.read(tarfile.BLOCKSIZE), 504
    return header


def _read_attributes(file: IO[bytes], header: tarfile.TarInfo) -> dict[str, str]:
    r"""Read what an extension says about the next member: a long name, or PAX records "LENGTH KEY=VALUE\n"."""
    if not 0 <= header.size <= _MAX_EXTENSION:
        raise tarfile.ReadError(f"invalid header: {header.size} bytes of attributes")
    content = file.read(_padded(header.size))[: header.size]
    if header.type == _LONG_NAME:
        return {"path": _text(content.rstrip(b"\0"))}
    attributes: dict[str, str] = {}
    position = 0
    while header.type == tarfile.XHDTYPE and position < len(content):
        digits = content[position : position + 20].partition(b" ")[0]
        record = content[position : position + int(digits)] if digits.isdigit() else b""
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not equals or not record.endswith(b"\n"):
            raise tarfile.ReadError("invalid header: its attributes cannot be parsed")
        attributes[_text(key)] = _text(value)
        position += len(record)
    return attributes


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _padded(size: int) -> int:
    return -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
