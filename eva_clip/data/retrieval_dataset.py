"""Images with all their captions, for retrieval: Karpathy's splits, COCO's captions, tables."""

import json
import stat
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from eva_backbone.errors import InputError
from eva_engine.data.record_errors import RecordErrors

from .caption_files import read_captions


class CaptionedImages:
    """Records for `ImageMapper`, one per image that has captions, in the order of the file; labels are their numbers.

    The published numbers on COCO and Flickr30k are of Karpathy's splits: {"images": [{"filename", "split", "sentences":
    [{"raw": ...}], "filepath" (optional)}]}. Every other file is one of those that `read_captions` knows.

    Args:
        file: the caption file.
        root: folder of the images; "filepath" is a folder below it.
        split: of Karpathy's splits, such as "test"; without a meaning in other files.
        captions_per_image: the first so many captions of an image count; None: all of them.
        image_key: column or key of the image's name, in tables and lists.
        caption_key: of the caption.
        on_error: "stop" or "skip" bad records of the file.

    Attributes:
        captions: every caption with the file name of its image, [(caption, file_name), ...].

    Raises:
        InputError: no such folder, or a file that cannot be read or has no caption.
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
            raise InputError(f"the image folder {root} does not exist; set the root of the data set to its folder.")
        content = _karpathy_images(file)
        if content is None:
            found = read_captions(file, image_key, caption_key, RecordErrors(str(file), on_error))
        else:
            found = _split_of(content, split, file)
        self._files = [str(Path(root, image)) for image in found]
        self.captions = [
            (text, path)
            for path, texts in zip(self._files, found.values(), strict=True)
            for text in texts[:captions_per_image]
        ]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        file = self._files[index]
        return {"file_name": file, "read": partial(_open, file, index)}


def _karpathy_images(file: str) -> list[Any] | None:
    """The images of a file in the layout of Karpathy's splits; None for other files."""
    if Path(file).suffix.lower() != ".json":
        return None
    try:
        content = json.loads(Path(file).read_bytes())
        images = content["images"]
        return images if images and "sentences" in images[0] else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None  # the reader of other files says what is wrong


def _split_of(images: Sequence[Mapping[str, Any]], split: str, file: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    try:
        for image in images:
            name = str(Path(image.get("filepath", ""), image["filename"]))
            captions = [sentence["raw"] for sentence in image["sentences"]]
            if name in found or Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"the image {name} is listed twice or lies outside of the image folder")
            if image["split"] == split:
                found[name] = [text for text in captions if text.strip()]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{file} cannot be read as one of Karpathy's splits ({type(error).__name__}: {error}); give it as it was "
            "published."
        ) from error
    found = {name: captions for name, captions in found.items() if captions}
    if not found:
        splits = ", ".join(sorted({str(image["split"]) for image in images}))
        raise InputError(f"{file} has no image with a caption in its split {split!r}; its splits are {splits}.")
    return found


def _open(file: str, index: int) -> tuple[IO[bytes], int]:
    # A pipe or a device would block or never end.
    if not stat.S_ISREG(Path(file).stat().st_mode):
        raise InputError(f"{file}: not a regular file; give an image file.")
    return open(file, "rb"), index
