"""Images with their captions, from the JSON files of COCO and of Karpathy's splits."""

import json
import logging
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from eva_backbone.errors import InputError

logger = logging.getLogger(__name__)


class CaptionedImages(Sequence[dict[str, Any]]):
    """Records for `ImageMapper`, one per image that has captions, in the order of the file.

    Two layouts are known. COCO's: {"images": [{"id", "file_name"}], "annotations": [{"image_id", "caption"}]}.
    Karpathy's, which the published numbers on COCO and Flickr30k are of: {"images": [{"filename", "split", "sentences":
    [{"raw"}], "filepath" (optional)}]}.

    Args:
        annotations: the JSON file.
        root: folder of the images; "filepath" is a folder below it.
        split: of Karpathy's layout, "test", "val", "train" or "restval"; without a meaning in COCO's.
        captions_per_image: the first so many captions of an image count; None: all of them.

    Attributes:
        captions: every caption with the file name of its image, [(caption, file_name), ...].

    Raises:
        InputError: a file that cannot be read or is in neither layout, the same image twice, or no caption at all.
    """

    def __init__(self, annotations: str, root: str, split: str = "test", captions_per_image: int | None = None) -> None:
        if not Path(root).is_dir():
            raise InputError(f"the image folder {root} does not exist; set the root of the data set to its folder.")
        try:
            content = json.loads(Path(annotations).read_text(encoding="utf-8"))
            images = content["images"]
            karpathy = bool(images) and "sentences" in images[0]
            found = list(_karpathy(images, split) if karpathy else _coco(content))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{annotations} holds no captions that can be read ({type(error).__name__}: {error}); give a JSON file "
                "in COCO's layout of captions, or in that of Karpathy's splits."
            ) from error
        self._files: list[str] = []
        self.captions: list[tuple[str, str]] = []
        for name, captions in found:
            file = str(Path(root, name))
            kept = [text for text in captions if text.strip()][:captions_per_image]
            if kept:
                self._files.append(file)
                self.captions += [(text, file) for text in kept]
        self._check(annotations, split, len(found))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> dict[str, Any]:
        file = self._files[index]
        return {"file_name": file, "read": partial(_open, file, index)}

    def _check(self, annotations: str, split: str, num_found: int) -> None:
        if not self._files:
            raise InputError(
                f"{annotations} has no image with a caption (split {split!r}); give another file or split."
            )
        twice = [name for name, count in Counter(self._files).items() if count > 1]
        if twice:
            raise InputError(f"{annotations} lists {twice[0]} twice; give each image one entry with all its captions.")
        if len(self._files) < num_found:
            logger.warning("%s: %d images without a caption left out.", annotations, num_found - len(self._files))


def _coco(content: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    captions: dict[Any, list[str]] = {image["id"]: [] for image in content["images"]}
    for annotation in content["annotations"]:
        captions[annotation["image_id"]].append(_text(annotation["caption"]))
    for image in content["images"]:
        yield _text(image["file_name"]), captions[image["id"]]


def _karpathy(images: Sequence[Mapping[str, Any]], split: str) -> Iterator[tuple[str, list[str]]]:
    for image in images:
        if image["split"] == split:
            captions = [_text(sentence["raw"]) for sentence in image["sentences"]]
            yield str(Path(image.get("filepath", ""), _text(image["filename"]))), captions


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _open(file: str, index: int) -> tuple[IO[bytes], int]:
    # A pipe or a device would block or never end.
    if not stat.S_ISREG(Path(file).stat().st_mode):
        raise InputError(f"{file}: not a regular file; give an image file.")
    return open(file, "rb"), index
