"""The videos of a data set as records."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from detectron2.data import DatasetFromList
from torch.utils.data import Dataset

from eva_backbone.errors import InputError

from .annotation_files import read_class_numbers, read_list


class VideoRecord(TypedDict):
    """`file_name` is a video, or the folder of its frames, of which there may be `num_frames` (all: not given)."""

    file_name: str
    label: int
    num_frames: NotRequired[int]


class VideoDataset(Dataset):
    """Records of a list of videos; see `read_list` for what it can look like.

    Whether the files are there shows when they are read.

    Args:
        annotations: the list.
        root: folder that its paths are below; "" takes them as they are.
        classes: numbers of labels that are names; see `read_class_numbers`.
        has_frame_counts: lines have the number of frames before the label.
        num_classes: how many classes the model knows; None: any number.
        on_error: "stop" or "skip": what happens at a line that cannot be used.

    Raises:
        InputError: a list or classes that cannot be read, or more classes than `num_classes`.
    """

    def __init__(
        self,
        annotations: str,
        root: str = "",
        *,
        classes: Mapping[str, int] | Sequence[str] | str | None = None,
        has_frame_counts: bool = False,
        num_classes: int | None = None,
        on_error: str = "stop",
    ) -> None:
        videos = read_list(annotations, read_class_numbers(classes), has_frame_counts, on_error)
        highest = max(video.label for video in videos) + 1
        if num_classes is not None and highest > num_classes:
            raise InputError(
                f"{annotations} has {highest} classes, the model only {num_classes}; set the model's num_classes to "
                f"{highest}, or check the list."
            )
        self.source = annotations
        self._root = root
        # One block of memory that the workers share, in place of objects for each video.
        self._videos = DatasetFromList([tuple(video) for video in videos], copy=False)

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, index: int) -> VideoRecord:
        path, label, num_frames = self._videos[index]
        record: VideoRecord = {"file_name": str(Path(self._root, path)), "label": label}
        if num_frames is not None:
            record["num_frames"] = num_frames
        return record
