"""Dataset of images with all their captions, for the evaluation of retrieval."""

from functools import partial
from pathlib import Path
from typing import IO, Any

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import RecordErrors
from eva_engine.data.image_file import open_regular_file

from .caption_files import read_captions


class RetrievalDataset:
    """One record per image with captions, in the order of the file, for the `EvaluationMapper` of `eva_classification`.

    The label of a record is its index.

    Published results on COCO and Flickr30k use Karpathy's splits: {"images": [{"filename", "split", "sentences":
    [{"raw": ...}], "filepath" (optional)}]}. All other files are read by `read_captions`.

    Args:
        file: Caption file.
        root: Image folder; "filepath" is a folder below it.
        split: Name of one of Karpathy's splits, such as "test"; not used for other files.
        captions_per_image: Maximum number of captions per image, the first ones; None for all of them.
        image_key: Column or key of the image name, in tables and lists.
        caption_key: Column or key of the caption, in tables and lists.
        on_error: "stop" raises an error at the first bad record of the file; "skip" leaves bad records out.

    Attributes:
        captions: Every caption with the file name of its image, [(caption, file_name), ...].

    Raises:
        InputError: The folder does not exist, or the file is unreadable or has no caption.
    """

    def __init__(
        self,
        file: str,
        root: str,
        split: str = "test",
        *,
        captions_per_image: int | None = None,
        image_key: str = "image",
        caption_key: str = "caption",
        on_error: str = "stop",
    ) -> None:
        if not Path(root).is_dir():
            raise InputError(f"the image folder {root} does not exist; give the folder of the images as root.")
        errors = RecordErrors(str(file), on_error)
        captions_of_image = read_captions(file, image_key, caption_key, errors, split)
        self._files: list[str] = []
        self.captions: list[tuple[str, str]] = []
        for image, captions in captions_of_image.items():
            path = str(Path(root, image))
            self._files.append(path)
            self.captions.extend((caption, path) for caption in captions[:captions_per_image])

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        file = self._files[index]
        return {"file_name": file, "read": partial(_open, file, index)}


def _open(file: str, index: int) -> tuple[IO[bytes], int]:
    return open_regular_file(file), index
