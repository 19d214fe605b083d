"""The dataset of videos that an annotation file lists."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from detectron2.config import instantiate
from detectron2.data import DatasetFromList
from omegaconf import DictConfig
from torch.utils.data import Dataset

from eva_backbone.errors import InputError
from eva_engine.config.class_list import check_same_indices, store_class_list

from .annotation_files import read_annotations, read_class_indices


class VideoRecord(TypedDict):
    """A video and its class.

    `file_name` is a video file, or a folder of extracted frames. `num_frames` is the number of frames to use from such
    a folder; without it, all are used.
    """

    file_name: str
    label: int
    num_frames: NotRequired[int]


class VideoDataset(Dataset):
    """Records of the videos in an annotation file; `read_annotations` describes its formats.

    Whether the videos exist is only checked when they are read.

    Args:
        annotations: Path of the annotation file.
        root: Folder to which the paths in the file are relative; "" takes them as they are.
        classes: Class index of each label that is a name; see `read_class_indices`.
        has_frame_counts: Whether lines have the number of frames before the label.
        num_classes: Number of classes of the model; None accepts any.
        on_error: "stop" raises `InputError` at a line that cannot be used; "skip" logs it and leaves it out.

    Raises:
        InputError: The annotations or the classes cannot be read, or there are more classes than `num_classes`.
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
        videos = read_annotations(annotations, read_class_indices(classes), has_frame_counts, on_error)
        num_found = max(video.label for video in videos) + 1
        if num_classes is not None and num_found > num_classes:
            raise InputError(
                f"{annotations} has {num_found} classes, the model only {num_classes}; set the model's num_classes to "
                f"{num_found}, or check the list."
            )
        self.source = annotations
        self._root = root
        # Stored as one serialised block of memory that the workers share, not as Python objects for each video.
        self._videos = DatasetFromList([tuple(video) for video in videos], copy=False)

    @staticmethod
    def use_class_list(
        cfg: DictConfig, train: DictConfig | None, test: DictConfig | None, stored: Sequence[str] | None
    ) -> None:
        """See `eva_engine.config.class_list.settle_class_list`; names of a file are copied to the config."""
        datasets = [dataset for dataset in (train, test) if dataset is not None]
        given = [read_class_indices(dataset.get("classes")) for dataset in datasets]
        names = stored
        if names is None and train is not None and given[0] and sorted(given[0].values()) == list(range(len(given[0]))):
            names = sorted(given[0], key=given[0].__getitem__)
        if names is None:
            indices = given[0] or {}
        else:
            indices = {name: index for index, name in enumerate(names)}
            store_class_list(cfg, names)
        for dataset, own in zip(datasets, given, strict=True):
            check_same_indices(own or {}, indices, f"the classes for {dataset.annotations}")
            if names is not None and (own is None or str(dataset.classes).endswith(".csv")):
                dataset.classes = list(names)
            instantiate(dataset)  # unknown classes are to be found before the model is built

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, index: int) -> VideoRecord:
        path, label, num_frames = self._videos[index]
        record: VideoRecord = {"file_name": str(Path(self._root, path)), "label": label}
        if num_frames is not None:
            record["num_frames"] = num_frames
        return record
