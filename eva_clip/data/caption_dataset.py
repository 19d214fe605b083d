"""Images of a folder with the captions of a file, as numbered records."""

import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, TypedDict

from detectron2.data import DatasetFromList
from torch.utils.data import Dataset

from eva_backbone.errors import InputError
from eva_engine.data.record_errors import RecordErrors

from .caption_files import read_captions


class PairRecord(TypedDict):
    """`read` opens the image and gives it with its captions."""

    file_name: str
    read: Callable[[], tuple[IO[bytes], list[str]]]


class CaptionDataset(Dataset):
    """One record for each image of a caption file; see `read_captions` for the formats.

    Args:
        file: the caption file.
        root: folder that the images' names begin in; None: that of the file.
        image_key: column or key of the image's name.
        caption_key: of the caption.
        on_error: "stop" or "skip" bad records of the file; the images themselves are read later.

    Raises:
        InputError: no such file or folder, or nothing usable in it.
    """

    def __init__(
        self,
        file: str,
        root: str | None = None,
        *,
        image_key: str = "image",
        caption_key: str = "caption",
        on_error: str = "stop",
    ) -> None:
        self.root = Path(file).parent if root is None else Path(root)
        if not self.root.is_dir():
            raise InputError(f"the image folder {self.root} does not exist; give the folder of the images as root.")
        captions = read_captions(file, image_key, caption_key, RecordErrors(str(file), on_error))
        # One block of memory that the workers share.
        self._pairs = DatasetFromList(list(captions.items()), copy=False)

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> PairRecord:
        image, captions = self._pairs[index]
        path = self.root / image
        return {"file_name": str(path), "read": partial(_read, path, captions)}


def _read(path: Path, captions: list[str]) -> tuple[IO[bytes], list[str]]:
    # A pipe or a device would block or never end.
    if not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"{path}: not a regular file; give an image file.")
    return open(path, "rb"), captions
