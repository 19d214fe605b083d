"""Dataset of images with captions from a caption file."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, TypedDict

from detectron2.data import DatasetFromList
from torch.utils.data import Dataset

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors
from eva_engine.data.image_file import open_regular_file

from .caption_files import read_captions


class CaptionRecord(TypedDict):
    """An image with one or several captions.

    `read` opens the image and returns it with its captions; nothing is read before.
    """

    file_name: str
    read: Callable[[], tuple[IO[bytes], list[str]]]


class CaptionDataset(Dataset):
    """One record for each image of a caption file; see `read_captions` for the formats.

    Args:
        file: Caption file.
        root: Folder that the image names are relative to; None for the folder of the caption file.
        image_key: Column or key of the image name.
        caption_key: Column or key of the caption.
        on_error: "stop" raises an error at the first bad record of the file; "skip" leaves bad records out. The images
            are read later.

    Raises:
        InputError: The file or the folder does not exist, or the file has no usable record.
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
        # Serialised into one block of memory, which the loader's workers share instead of copying.
        self._captioned_images = DatasetFromList(list(captions.items()), copy=False)

    def __len__(self) -> int:
        return len(self._captioned_images)

    @property
    def captions(self) -> list[list[str]]:
        """Captions of each image."""
        return [captions for _, captions in self._captioned_images]

    def __getitem__(self, index: int) -> CaptionRecord:
        image, captions = self._captioned_images[index]
        path = self.root / image
        return {"file_name": str(path), "read": partial(_read, path, captions)}


def _read(path: Path, captions: list[str]) -> tuple[IO[bytes], list[str]]:
    return open_regular_file(path), captions
