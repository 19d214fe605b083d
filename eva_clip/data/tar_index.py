"""Where the images and texts of a tar shard lie, so that any of them can be read without the ones before."""

import logging
import tarfile
from pathlib import Path

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_write
from eva_engine.data.record_errors import RecordErrors

logger = logging.getLogger(__name__)

IMAGE_ENDINGS = ("jpg", "jpeg", "png", "webp")
# The first of them that a sample has.
TEXT_ENDINGS = ("txt", "json")
MAX_IMAGE, MAX_TEXT = 1 << 28, 1 << 20
_MAX_KEY = 255


class KeptIndex:
    """Rows of an index file, each read when it is asked for: those of a large collection would fill every process."""

    def __init__(self, path: Path, num_rows: int) -> None:
        self.path, self.num_rows = path, num_rows

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, number: int) -> np.void:
        """Row `number`, from the end where that is below 0.

        Raises:
            InputError: the file is no longer what it was.
        """
        try:
            rows = np.load(self.path, mmap_mode="r", allow_pickle=False)
            if len(rows) != self.num_rows + 1:
                raise ValueError("other rows")
        except (OSError, ValueError, EOFError) as error:
            raise InputError(
                f"{self.path} was changed or removed during the run; start again with --resume."
            ) from error
        return rows[1:][number]


def index_shard(shard: Path, errors: RecordErrors) -> KeptIndex | np.ndarray:
    """One row for each sample: its key, first byte and length of image and text, whether the text is JSON.

    Members of one sample share their path up to the first dot of the file's name. An index is kept beside the shard as
    SHARD.index.npy, where the folder can be written, and used while the shard has its size and time.

    Args:
        errors: what happens to samples without an image or a text, too large, or cut off.

    Raises:
        InputError: no such file, compressed, or no tar file at all.
    """
    if not shard.is_file():
        raise InputError(f"{shard}: no such shard; check the path.")
    kept = shard.with_name(shard.name + ".index.npy")
    stamp = (shard.stat().st_size, shard.stat().st_mtime_ns)
    index = _find_index(kept, stamp)
    if index is not None:
        return index
    num_bad = len(errors.sentences)
    rows = _as_rows(_scan(shard, errors), shard.name, errors)
    if len(errors.sentences) == num_bad:  # bad samples are to be named each time
        _write_index(kept, rows, stamp)
    return _find_index(kept, stamp) or rows


def _scan(shard: Path, errors: RecordErrors) -> dict[str, dict[str, tuple[int, int]]]:
    """First byte and length by ending, of each key."""
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    size = shard.stat().st_size
    try:
        # Names of other encodings stay apart from each other, and can be printed.
        with tarfile.open(shard, "r:", encoding="utf-8", errors="backslashreplace") as tar:
            for member in tar:
                tar.members.clear()  # type: ignore[attr-defined]  # not in typeshed; of millions none is needed again
                folder, _, name = member.name.rpartition("/")
                key, _, ending = name.partition(".")
                if not member.isfile() or member.sparse is not None:
                    continue
                if member.offset_data + member.size > size:
                    errors.add(f"{shard.name}/{member.name}", "is cut off", "copy the shard again")
                elif ending.lower() in (*IMAGE_ENDINGS, *TEXT_ENDINGS):
                    place = (member.offset_data, member.size)
                    samples.setdefault(f"{folder}/{key}" if folder else key, {})[ending.lower()] = place
            end = tar.offset
    except InputError:  # of a record
        raise
    except tarfile.ReadError as error:
        if not samples:
            raise InputError(
                f"{shard} is no tar file that can be read at random ({error}); give an uncompressed .tar."
            ) from error
        errors.add(shard.name, f"is damaged behind its first {len(samples)} samples ({error})", "copy it again")
        return samples
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        raise InputError(f"{shard} cannot be read ({error}); give an uncompressed .tar.") from error
    # A shard cut between two members, or with a damaged header behind its first one, looks whole to tarfile.
    with open(shard, "rb") as file:
        file.seek(end)
        block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        errors.add(shard.name, f"ends without a tar file's end mark, behind {len(samples)} samples", "copy it again")
    elif any(block):
        errors.add(shard.name, f"is damaged behind its first {len(samples)} samples (invalid header)", "copy it again")
    return samples


def _as_rows(samples: dict[str, dict[str, tuple[int, int]]], shard: str, errors: RecordErrors) -> np.ndarray:
    rows = []
    for key, members in samples.items():
        image = next((members[ending] for ending in IMAGE_ENDINGS if ending in members), None)
        ending = next((ending for ending in TEXT_ENDINGS if ending in members), None)
        if image is None or ending is None:
            errors.add(f"{shard}/{key}", f"has no {'image' if image is None else 'text'}", "add it to the shard")
        elif image[1] > MAX_IMAGE or members[ending][1] > MAX_TEXT or len(key.encode()) > _MAX_KEY:
            errors.add(f"{shard}/{key[:_MAX_KEY]}", "has an image, text or name too large to be one", "remove it")
        else:
            rows.append((key.encode(), *image, *members[ending], ending == "json"))
    return np.array(rows, dtype=_row_type(max((len(row[0]) for row in rows), default=1)))


def _row_type(key_bytes: int) -> np.dtype:
    places = [(name, np.int64) for name in ("image_start", "image_bytes", "text_start", "text_bytes")]
    return np.dtype([("key", f"S{key_bytes}"), *places, ("is_json", np.bool_)])


def _find_index(kept: Path, stamp: tuple[int, int]) -> KeptIndex | None:
    """The index in the file, if it is one of the shard of this size and time."""
    try:
        # Mapped, because the length that a damaged file claims would be allocated otherwise.
        rows = np.load(kept, mmap_mode="r", allow_pickle=False)
        is_index = rows.ndim == 1 and len(rows) > 0 and rows.dtype == _row_type(rows.dtype["key"].itemsize)
        fits = is_index and (int(rows[0]["image_start"]), int(rows[0]["image_bytes"])) == stamp
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None
    return KeptIndex(kept, len(rows) - 1) if fits else None


def _write_index(kept: Path, index: np.ndarray, stamp: tuple[int, int]) -> None:
    first = np.zeros(1, dtype=index.dtype)
    first[0]["image_start"], first[0]["image_bytes"] = stamp
    try:
        with atomic_write(kept) as file:
            np.save(file, np.concatenate([first, index]), allow_pickle=False)
    except OSError as error:
        logger.info("The index of a shard is not kept: %s", error)
