"""Pairs in tar shards of the webdataset layout, as numbered records: nothing is extracted, any sample can be read."""

import io
import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from torch.utils.data import Dataset

from eva_backbone.errors import InputError
from eva_engine.data.record_errors import RecordErrors

from .caption_dataset import PairRecord
from .tar_index import MAX_IMAGE, MAX_TEXT, index_shard

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MAX_SHARDS = 1_000_000


class ShardDataset(Dataset):
    """Records of images (jpg, jpeg, png, webp) beside a caption (txt, or json with "caption") of the same name.

    A stream could not be resumed exactly. Where the indices cannot be kept beside the shards, each process has some 45
    bytes a pair in memory. Images are read at random places, for which shards should lie on a disk that is good at it.

    Args:
        shards: one path or several, in which {0000..0099} stands for numbers of that many digits.
        on_error: "stop" or "skip" samples without image or text. Unreadable images are found later.

    Raises:
        InputError: no shard, one that cannot be read at random, or no pair in all of them.
    """

    def __init__(self, shards: str | Sequence[str], *, on_error: str = "stop") -> None:
        names = [shards] if isinstance(shards, str) else list(shards)
        self.shards = [Path(shard) for name in names for shard in expand_numbers(str(name))]
        errors = RecordErrors("tar shards", on_error)
        self._indices = [index_shard(shard, errors) for shard in self.shards]
        errors.log_total()
        self._ends = np.cumsum([len(index) for index in self._indices])
        if not len(self):
            raise InputError(f"{', '.join(names) or 'no shard'}: no image with a text in it; check the shards.")

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> PairRecord:
        number = int(np.searchsorted(self._ends, index, side="right"))
        row = self._indices[number][index - int(self._ends[number])]
        shard = self.shards[number]
        name = f"{shard}/{row['key'].decode(errors='replace')}"
        return {"file_name": name, "read": partial(_read, name, shard, row)}


def expand_numbers(pattern: str) -> list[str]:
    """`shard-{0000..0002}.tar` as three names; several such ranges give every combination.

    Raises:
        InputError: a range that ends before it begins, or a million shards and more.
    """
    found = _RANGE.search(pattern)
    if found is None:
        return [pattern]
    first, last = int(found[1]), int(found[2])
    if not first <= last < first + _MAX_SHARDS:
        raise InputError(f"{pattern}: {found[0]} is no range of shards; give {{FIRST..LAST}}.")
    rest = expand_numbers(pattern[found.end() :])
    numbers = (str(number).zfill(len(found[1])) for number in range(first, last + 1))
    return [pattern[: found.start()] + number + after for number in numbers for after in rest]


def _read(name: str, shard: Path, row: np.void) -> tuple[IO[bytes], list[str]]:
    if row["image_bytes"] > MAX_IMAGE or row["text_bytes"] > MAX_TEXT:
        raise InputError(f"{name}: its index asks for too much; remove {shard}.index.npy.")
    with open(shard, "rb") as file:
        image = _part(file, name, row["image_start"], row["image_bytes"])
        text = _part(file, name, row["text_start"], row["text_bytes"])
    try:
        captions = json.loads(text).get("caption") if row["is_json"] else text.decode("utf-8-sig")
    except (ValueError, RecursionError, AttributeError) as error:
        raise InputError(f"{name}: its text cannot be read ({type(error).__name__}); correct it.") from error
    captions = captions if isinstance(captions, list) else [captions]
    return io.BytesIO(image), [caption for caption in captions if isinstance(caption, str)]


def _part(file: IO[bytes], name: str, start: int, num_bytes: int) -> bytes:
    file.seek(int(start))
    content = file.read(int(num_bytes))
    if len(content) < num_bytes:
        raise InputError(f"{name}: the shard is shorter than when it was indexed; copy it again.")
    return content
