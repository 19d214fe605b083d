"""Write detections as files that other tools read; there is one module for each format."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeAlias

from eva_backbone.errors import InputError
from eva_engine.prediction.categories import Categories
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.video import VideoFrame

from ..result import DetectionResult
from .coco_json import open_coco, open_coco_polygons
from .crops import open_crops
from .csv_table import open_csv
from .labelme import open_labelme
from .yolo import open_yolo

# Adds the detections in an image.
Write: TypeAlias = Callable[[Input, DetectionResult], None]
# Opens a format in a folder for given inputs and categories.
Open: TypeAlias = Callable[[Path, Sequence[Input], Categories], AbstractContextManager[Write]]

FORMATS: dict[str, Open] = {
    "coco": open_coco,
    "coco-polygons": open_coco_polygons,
    "csv": open_csv,
    "yolo": open_yolo,
    "labelme": open_labelme,
    "crops": open_crops,
}

# Names, without suffix, of what a format writes where an input of that name has its own results.
_OWN_NAMES = {"coco": "coco", "coco-polygons": "coco_polygons", "labelme": "labelme/", "crops": "crops/"}


def check_input_names(names: Sequence[str], inputs: Sequence[Input]) -> None:
    """Check that all formats can be written for these inputs.

    Raises:
        InputError: The results of an input would overwrite a file of a format, such as those of coco.jpg, or there are
            videos and a format refers to image files.
    """
    videos = [item for item in inputs if item.kind == "video"]
    if videos and "labelme" in names:
        raise InputError(
            f"{videos[0].name}: files of LabelMe belong to image files, which the frames of a video do not have; give "
            "--save-as coco-polygons, or only images."
        )
    own_names = {name: _OWN_NAMES[name] for name in names if name in _OWN_NAMES}
    folders = {"", *(f"{_frame_folder(item)}/".casefold() for item in videos)}
    for item in inputs:
        stem = item.stem.casefold()  # on some file systems, upper and lower case are the same
        for name, own in own_names.items():
            folder, separator, rest = stem.partition(own)
            if separator and folder in folders and (own.endswith("/") or not rest):
                raise InputError(
                    f"{item.name}: its results would have the name of a file of --save-as {name}; rename the input, or "
                    "leave this format out."
                )


def open_formats(
    names: Sequence[str], folder: Path, inputs: Sequence[Input], categories: Categories, stack: ExitStack
) -> list[Write]:
    """Open files in several formats, which `stack` completes and closes.

    Args:
        names: Keys of `FORMATS`.
        folder: Folder of the results.
        inputs: All images of the run.
        categories: Names and ids of the model's classes.
        stack: Where the files are closed.

    Returns:
        A function for each format that adds the detections in an image.
    """
    return [stack.enter_context(FORMATS[name](folder, inputs, categories)) for name in dict.fromkeys(names)]


def open_frame_formats(
    names: Sequence[str], folder: Path, video: Input, categories: Categories, stack: ExitStack
) -> Callable[[VideoFrame, DetectionResult], None]:
    """Open files in several formats for the frames of a video, in a folder `<stem>_frames` of their own.

    A frame has the name `<stem>_frames/<number>.jpg`, with the number of the frame in the video, from 0.

    Args:
        names: Keys of `FORMATS`.
        folder: Folder of the results.
        video: The video.
        categories: Names and ids of the model's classes.
        stack: Where the files are closed.

    Returns:
        A function that adds the detections in a frame to all of them.
    """
    frame_folder = _frame_folder(video)
    target = folder / frame_folder
    if names:
        target.mkdir(parents=True, exist_ok=True)
    writers = open_formats(names, target, (), categories, stack)

    def write(frame: VideoFrame, result: DetectionResult) -> None:
        number = f"{frame.index:06d}"
        item = Input(Path(frame_folder, f"{number}.jpg"), "image", number)
        for write_format in writers:
            write_format(item, result)

    return write


def _frame_folder(video: Input) -> str:
    return f"{video.stem}_frames"
