"""Map-style dataset of image-text pairs in tar shards with the WebDataset layout; nothing is extracted to disk."""

import io
import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from torch.utils.data import Dataset

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors

from .caption_dataset import CaptionRecord
from .tar_index import IMAGE_SUFFIXES, MAX_IMAGE, MAX_TEXT, TEXT_SUFFIXES, index_shard

logger = logging.getLogger(__name__)

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MAX_SHARDS = 1_000_000


class ShardDataset(Dataset):
    """Records of images (jpg, jpeg, png, webp), each with a caption (txt, or json with "caption") of the same name.

    `index_shard` describes which members belong together. Members that are not used are counted in a warning.

    Samples have random access, because a stream could not be resumed exactly. The images are read in random order, so
    the shards should be stored on a disk with fast random reads. If the indices cannot be saved next to the shards,
    each process holds about 45 bytes per pair in memory.

    Args:
        shards: Path or paths, in which {0000..0099} expands to numbers with that many digits.
        on_error: "stop" raises an error at a sample without image or text; "skip" leaves such samples out. Unreadable
            images are found later.
        save_indices: Whether the indices may be saved next to the shards, where later runs find them.

    Raises:
        InputError: A shard does not exist or is compressed, or no shard has a pair.
    """

    def __init__(self, shards: str | Sequence[str], *, on_error: str = "stop", save_indices: bool = True) -> None:
        patterns = [shards] if isinstance(shards, str) else list(shards)
        self.shards: list[Path] = []
        for pattern in patterns:
            self.shards += map(Path, expand_numbers(str(pattern)))
        errors = RecordErrors("tar shards", on_error)
        unused: Counter[str] = Counter()
        self._indices = [index_shard(shard, errors, unused, save=save_indices) for shard in self.shards]
        errors.log_total()
        if unused:
            logger.warning(
                "tar shards: %d member(s) are not used, because they are not %s files, or their sample has a text "
                "already, such as %s.",
                unused.total(),
                ", ".join((*IMAGE_SUFFIXES, *TEXT_SUFFIXES)),
                ", ".join(list(unused)[:3]),
            )
        # Number of samples up to and including each shard.
        self._ends = np.cumsum([len(index) for index in self._indices])
        if not len(self):
            source = ", ".join(patterns) or "the list of shards"
            raise InputError(f"{source}: no image with a text in it; check the shards.")

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> CaptionRecord:
        # The first shard whose end lies beyond the index; its rows are counted from the end as negative numbers.
        number = int(np.searchsorted(self._ends, index, side="right"))
        row = self._indices[number][index - int(self._ends[number])]
        shard = self.shards[number]
        name = f"{shard}/{row['key'].decode(errors='replace')}"
        return {"file_name": name, "read": partial(_read, name, shard, row)}


def expand_numbers(pattern: str) -> list[str]:
    """Expand `shard-{0000..0002}.tar` to three names; several such ranges give all combinations.

    Raises:
        InputError: A range ends before it begins, or has more than a million numbers.
    """
    match = _RANGE.search(pattern)
    if match is None:
        return [pattern]
    first, last = int(match[1]), int(match[2])
    if not first <= last < first + _MAX_SHARDS:
        raise InputError(f"{pattern}: {match[0]} is not a valid range of shards; give {{FIRST..LAST}}.")
    prefix, num_digits = pattern[: match.start()], len(match[1])
    suffixes = expand_numbers(pattern[match.end() :])
    return [f"{prefix}{n:0{num_digits}}{suffix}" for n in range(first, last + 1) for suffix in suffixes]


def _read(name: str, shard: Path, row: np.void) -> tuple[IO[bytes], list[str]]:
    """Read the image and the captions of a sample, given its row of the index."""
    if row["image_bytes"] > MAX_IMAGE or row["text_bytes"] > MAX_TEXT:
        raise InputError(f"{name}: the sizes in its index are too large; remove {shard}.index.npy.")
    with open(shard, "rb") as file:
        image = _read_member(file, name, row["image_start"], row["image_bytes"])
        text = _read_member(file, name, row["text_start"], row["text_bytes"])
    try:
        captions = json.loads(text).get("caption") if row["is_json"] else text.decode("utf-8-sig")
    except (ValueError, RecursionError, AttributeError) as error:
        raise InputError(f"{name}: its text cannot be read ({type(error).__name__}); correct it.") from error
    if not isinstance(captions, list):
        captions = [captions]
    return io.BytesIO(image), [caption for caption in captions if isinstance(caption, str)]


def _read_member(file: IO[bytes], name: str, start: int, num_bytes: int) -> bytes:
    file.seek(int(start))
    content = file.read(int(num_bytes))
    if len(content) < num_bytes:
        raise InputError(f"{name}: the shard is shorter than when it was indexed; copy it again.")
    return content
