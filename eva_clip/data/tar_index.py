"""Index of a tar shard: where its images and texts are stored, so that samples can be read in any order."""

import logging
import posixpath
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_write
from eva_engine.data.corrupt_data import RecordErrors

from .tar_members import list_members

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")
# In order of preference for samples that have both.
TEXT_SUFFIXES = ("txt", "json")
MAX_IMAGE, MAX_TEXT = 1 << 28, 1 << 20  # bytes
_MAX_KEY = 255
# Fields of the first row of a saved index that identify the shard and the rules.
_IDENTITY = ("image_start", "image_bytes", "text_bytes")

# Number of the rules by which members form samples. An index that was saved under other rules is not used.
_RULES = 2

# Offset and number of bytes of a member's content, and those of a sample by suffix.
Extent = tuple[int, int]
Members = dict[str, Extent]


class IndexFile:
    """Rows of a saved index, each read on access: all indices of a large dataset would fill every process's memory.

    Args:
        path: File of the index.
        num_rows: Number of samples in the index.
        num_unused: Number of the shard's members that are not used.
        unused_example: Name of one of them, possibly cut off.
    """

    def __init__(self, path: Path, num_rows: int, num_unused: int, unused_example: str) -> None:
        self.path, self.num_rows = path, num_rows
        self.num_unused, self.unused_example = num_unused, unused_example

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


def index_shard(
    shard: Path, errors: RecordErrors, unused: Counter[str], *, save: bool = True
) -> IndexFile | np.ndarray:
    """Index the samples of a shard.

    Members belong to the same sample if their paths are the same up to the last dot. In the WebDataset layout names end
    at the first dot, which would be within the name of 22.05.png; its members such as 1.seg.png are not used, as 1.png
    and 1.txt already form a sample. If a sample has an image (or text of the same kind) already, a further one starts
    another sample.

    The index is saved next to the shard as SHARD.index.npy if `save` is set and the folder is writable, and reused
    while the shard's size and modification time are unchanged.

    Args:
        shard: An uncompressed tar file.
        errors: Collects samples that have no image or no text, are too large, or are truncated.
        unused: Counts the members that are not used; the keys are examples.
        save: Whether a new index may be saved next to the shard.

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
    is_usable = path.is_file() or not path.exists()  # reading a pipe would block
    index = _open_index(path, size_and_time) if is_usable else None
    if index is None:
        num_errors = len(errors.messages)
        others: list[str] = []
        samples = _scan(shard, errors, others)
        rows = _as_rows(samples, shard.name, errors, others)
        # Bad samples are to be reported by every run, so a shard that has some is scanned by every run.
        if save and len(errors.messages) == num_errors and is_usable:
            _save_index(path, rows, size_and_time, others)
            index = _open_index(path, size_and_time)
        if index is None:
            if others:
                unused[f"{shard.name}/{others[0]}"] += len(others)
            return rows
    if index.num_unused:
        unused[f"{shard.name}/{index.unused_example}"] += index.num_unused
    return index


def _scan(shard: Path, errors: RecordErrors, others: list[str]) -> dict[str, list[Members]]:
    """Return the extents of the members of each sample by suffix, in a list for each key; add others to `others`."""
    samples: dict[str, list[Members]] = {}
    try:
        for member in list_members(shard):
            path = posixpath.normpath(member.name)
            key, _, suffix = path.rpartition(".")
            suffix = suffix.lower()
            is_hidden = posixpath.basename(path).startswith(".")
            if key and member.kind == "file" and suffix in (*IMAGE_SUFFIXES, *TEXT_SUFFIXES) and not is_hidden:
                _add_member(samples.setdefault(key, []), suffix, (member.start, member.size))
            elif member.kind != "folder":
                others.append(member.name)
    except (tarfile.ReadError, ValueError) as error:
        if not samples:
            raise InputError(
                f"{shard} cannot be read as a tar file with random access ({error}); give an intact, uncompressed .tar."
            ) from error
        errors.add(shard.name, f"is damaged after its first {len(samples)} samples ({error})", "copy it again")
    except OSError as error:
        raise InputError(f"{shard} cannot be read ({error}); check the file.") from error
    return samples


def _add_member(samples: list[Members], suffix: str, extent: Extent) -> None:
    same_kind = IMAGE_SUFFIXES if suffix in IMAGE_SUFFIXES else (suffix,)
    if not samples or _first_present(same_kind, samples[-1]):
        samples.append({})
    samples[-1][suffix] = extent


def _as_rows(samples: dict[str, list[Members]], shard: str, errors: RecordErrors, others: list[str]) -> np.ndarray:
    """Return the rows of the usable samples, report the others, and add unused members of both to `others`."""
    rows = []
    complete = {key for key, repeated in samples.items() if any(map(_is_complete, repeated))}
    for key, repeated in samples.items():
        folder, name = posixpath.split(key)
        parts = name.split(".")
        shorter_keys = [posixpath.join(folder, ".".join(parts[:number])) for number in range(1, len(parts))]
        is_part_of_another = any(shorter in complete for shorter in shorter_keys)
        for members in repeated:
            if not _is_complete(members) and is_part_of_another:
                others += [f"{key}.{suffix}" for suffix in members]
                continue
            row = _usable_row(key, members, shard, errors)
            if row is not None:
                rows.append(row)
                if TEXT_SUFFIXES[0] in members:  # the text that is used
                    others += [f"{key}.{suffix}" for suffix in TEXT_SUFFIXES[1:] if suffix in members]
    return np.array(rows, dtype=_row_type(max((len(row[0]) for row in rows), default=1)))


def _is_complete(members: Members) -> bool:
    return bool(_first_present(IMAGE_SUFFIXES, members) and _first_present(TEXT_SUFFIXES, members))


def _usable_row(key: str, members: Members, shard: str, errors: RecordErrors) -> tuple | None:
    name = f"{shard}/{key[:_MAX_KEY]}"
    image_suffix, text_suffix = _first_present(IMAGE_SUFFIXES, members), _first_present(TEXT_SUFFIXES, members)
    if image_suffix is None:
        errors.add(name, f"has no image ({', '.join(IMAGE_SUFFIXES)}) for its text", "add it to the shard")
        return None
    if text_suffix is None:
        errors.add(name, f"has no text ({' or '.join(TEXT_SUFFIXES)}) for its {image_suffix}", "add it to the shard")
        return None
    image_bytes, text_bytes = members[image_suffix][1], members[text_suffix][1]
    if image_bytes > MAX_IMAGE or text_bytes > MAX_TEXT or len(key.encode()) > _MAX_KEY:
        errors.add(name, "has an image, a text or a name that is too large", "remove it")
        return None
    return (key.encode(), *members[image_suffix], *members[text_suffix], text_suffix == "json")


def _first_present(suffixes: tuple[str, ...], members: Members) -> str | None:
    return next((suffix for suffix in suffixes if suffix in members), None)


def _row_type(key_bytes: int) -> np.dtype:
    extents = [(name, np.int64) for name in ("image_start", "image_bytes", "text_start", "text_bytes")]
    return np.dtype([("key", f"S{key_bytes}"), *extents, ("is_json", np.bool_)])


def _open_index(path: Path, size_and_time: tuple[int, int]) -> IndexFile | None:
    """Open a saved index; None if there is none for a shard of this size and modification time."""
    try:
        # Memory-mapped, because otherwise numpy would allocate the length that a damaged file claims to have.
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        is_index = rows.ndim == 1 and len(rows) > 0 and rows.dtype == _row_type(rows.dtype["key"].itemsize)
        first = rows[0] if is_index else np.zeros(1, _row_type(1))[0]
        is_current = (*size_and_time, _RULES) == tuple(int(first[name]) for name in _IDENTITY)
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None
    example = first["key"].decode(errors="replace")
    if is_current:
        return IndexFile(path, len(rows) - 1, int(first["text_start"]), example)
    return None


def _save_index(path: Path, rows: np.ndarray, size_and_time: tuple[int, int], unused: list[str]) -> None:
    """Save an index after a first row that identifies the shard, and has the number and one of the unused members."""
    example = unused[0].encode()[:_MAX_KEY] if unused else b""
    row_type = _row_type(max(len(example), rows.dtype["key"].itemsize))
    first = np.array([(example, *size_and_time, len(unused), _RULES, False)], dtype=row_type)
    try:
        with atomic_write(path) as file:
            np.save(file, np.concatenate([first, rows]), allow_pickle=False)
    except OSError as error:
        logger.info("The index of a shard could not be saved: %s", error)
