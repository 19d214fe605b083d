"""Index of a tar shard: where its images and texts are stored, so that samples can be read in any order."""

import logging
import tarfile
from pathlib import Path

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_write
from eva_engine.data.corrupt_data import RecordErrors

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")
# In order of preference for samples that have both.
TEXT_SUFFIXES = ("txt", "json")
MAX_IMAGE, MAX_TEXT = 1 << 28, 1 << 20  # bytes
_MAX_KEY = 255

# Offset and number of bytes of a member's content.
Extent = tuple[int, int]


class IndexFile:
    """Rows of a saved index, each read on access: all indices of a large dataset would fill every process's memory.

    Args:
        path: File of the index.
        num_rows: Number of samples in the index.
    """

    def __init__(self, path: Path, num_rows: int) -> None:
        self.path, self.num_rows = path, num_rows

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, number: int) -> np.void:
        """Return a row; negative numbers count from the end.

        Raises:
            InputError: The file was changed or removed since it was opened.
        """
        try:
            rows = np.load(self.path, mmap_mode="r", allow_pickle=False)
            if len(rows) != self.num_rows + 1:
                raise ValueError("another number of rows")
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"{self.path} was changed or removed during the run; start again with --resume."
            ) from error
        return rows[1:][number]  # row 0 identifies the shard


def index_shard(shard: Path, errors: RecordErrors) -> IndexFile | np.ndarray:
    """Index the samples of a shard.

    Members belong to the same sample if their paths are the same up to the first dot of the file name. The index is
    saved next to the shard as SHARD.index.npy if the folder is writable, and reused while the shard's size and
    modification time are unchanged.

    Args:
        shard: An uncompressed tar file.
        errors: Collects samples that have no image or no text, are too large, or are truncated.

    Returns:
        One row for each sample: key, offset and length in bytes of the image and of the text, and whether the text is
        JSON.

    Raises:
        InputError: The file does not exist, is compressed, or is not a tar file.
    """
    if not shard.is_file():
        raise InputError(f"{shard}: no such shard; check the path.")
    path = shard.with_name(shard.name + ".index.npy")
    size_and_time = (shard.stat().st_size, shard.stat().st_mtime_ns)
    index = _open_index(path, size_and_time)
    if index is not None:
        return index
    num_errors = len(errors.messages)
    rows = _as_rows(_scan(shard, errors), shard.name, errors)
    # Bad samples are to be reported by every run, so a shard that has some is scanned by every run.
    if len(errors.messages) == num_errors:
        _save_index(path, rows, size_and_time)
    return _open_index(path, size_and_time) or rows


def _scan(shard: Path, errors: RecordErrors) -> dict[str, dict[str, Extent]]:
    """Return the extents of the members of each sample, by key and suffix."""
    samples: dict[str, dict[str, Extent]] = {}
    size = shard.stat().st_size
    try:
        # Names in other encodings than UTF-8 stay distinct and printable as escape sequences.
        with tarfile.open(shard, "r:", encoding="utf-8", errors="backslashreplace") as tar:
            for member in tar:
                # tarfile collects all members, which can be millions. (typeshed does not know the attribute.)
                tar.members.clear()  # type: ignore[attr-defined]
                folder, _, name = member.name.rpartition("/")
                key, _, suffix = name.partition(".")
                if not member.isfile() or member.sparse is not None:
                    continue
                if member.offset_data + member.size > size:
                    errors.add(f"{shard.name}/{member.name}", "is cut off", "copy the shard again")
                elif suffix.lower() in (*IMAGE_SUFFIXES, *TEXT_SUFFIXES):
                    path = f"{folder}/{key}" if folder else key
                    samples.setdefault(path, {})[suffix.lower()] = (member.offset_data, member.size)
            end = tar.offset
    except InputError:  # of a record
        raise
    except tarfile.ReadError as error:
        if not samples:
            raise InputError(
                f"{shard} is not a tar file with random access ({error}); give an uncompressed .tar."
            ) from error
        errors.add(shard.name, f"is damaged after its first {len(samples)} samples ({error})", "copy it again")
        return samples
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        raise InputError(f"{shard} cannot be read ({error}); give an uncompressed .tar.") from error
    # tarfile silently stops at a damaged header after the first one, and at the end of a file that was cut off between
    # two members. An intact tar file continues with a block of zeros.
    with open(shard, "rb") as file:
        file.seek(end)
        block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        errors.add(shard.name, f"ends after {len(samples)} samples without the end mark of a tar file", "copy it again")
    elif any(block):
        errors.add(shard.name, f"is damaged after its first {len(samples)} samples (invalid header)", "copy it again")
    return samples


def _as_rows(samples: dict[str, dict[str, Extent]], shard: str, errors: RecordErrors) -> np.ndarray:
    """Return the rows of the usable samples and report the others."""
    rows = []
    for key, members in samples.items():
        image_suffix = _first_present(IMAGE_SUFFIXES, members)
        text_suffix = _first_present(TEXT_SUFFIXES, members)
        if image_suffix is None:
            errors.add(f"{shard}/{key}", "has no image", "add it to the shard")
            continue
        if text_suffix is None:
            errors.add(f"{shard}/{key}", "has no text", "add it to the shard")
            continue
        image_start, image_bytes = members[image_suffix]
        text_start, text_bytes = members[text_suffix]
        if image_bytes > MAX_IMAGE or text_bytes > MAX_TEXT or len(key.encode()) > _MAX_KEY:
            errors.add(f"{shard}/{key[:_MAX_KEY]}", "has an image, a text or a name that is too large", "remove it")
            continue
        rows.append((key.encode(), image_start, image_bytes, text_start, text_bytes, text_suffix == "json"))
    return np.array(rows, dtype=_row_type(max((len(row[0]) for row in rows), default=1)))


def _first_present(suffixes: tuple[str, ...], members: dict[str, Extent]) -> str | None:
    for suffix in suffixes:
        if suffix in members:
            return suffix
    return None


def _row_type(key_bytes: int) -> np.dtype:
    extents = [(name, np.int64) for name in ("image_start", "image_bytes", "text_start", "text_bytes")]
    return np.dtype([("key", f"S{key_bytes}"), *extents, ("is_json", np.bool_)])


def _open_index(path: Path, size_and_time: tuple[int, int]) -> IndexFile | None:
    """Open a saved index; None if there is none for a shard of this size and modification time."""
    try:
        # Memory-mapped, because otherwise numpy would allocate the length that a damaged file claims to have.
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        is_index = rows.ndim == 1 and len(rows) > 0 and rows.dtype == _row_type(rows.dtype["key"].itemsize)
        is_current = is_index and (int(rows[0]["image_start"]), int(rows[0]["image_bytes"])) == size_and_time
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None
    return IndexFile(path, len(rows) - 1) if is_current else None


def _save_index(path: Path, rows: np.ndarray, size_and_time: tuple[int, int]) -> None:
    """Save an index after a first row that identifies the shard by its size and modification time."""
    first = np.zeros(1, dtype=rows.dtype)
    first[0]["image_start"], first[0]["image_bytes"] = size_and_time
    try:
        with atomic_write(path) as file:
            np.save(file, np.concatenate([first, rows]), allow_pickle=False)
    except OSError as error:
        logger.info("The index of a shard could not be saved: %s", error)
