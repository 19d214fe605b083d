"""The records of a data set with its classes: a registered one, or two folders and a list of classes."""

from collections.abc import Sequence
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from eva_backbone.errors import InputError
from eva_engine.config.registered_datasets import check_registered
from eva_engine.data.dataset_root import missing_file_hint

from ..segmentation_targets import IGNORED
from .label_folders import register_label_folders


class SegmentationDataset(list):
    """Records {"file_name", "sem_seg_file_name", ...} of the data set registered as `name`."""

    def __init__(self, name: str, records: list[dict]) -> None:
        super().__init__(records)
        self.name = name
        self.class_names: tuple[str, ...] = tuple(MetadataCatalog.get(name).stuff_classes)


def labelled_records(
    names: str | None = None,
    image_root: str | None = None,
    label_root: str | None = None,
    class_names: str | Sequence[str] | None = None,
    num_classes: int | None = None,
) -> SegmentationDataset:
    """A LazyConfig target.

    Args:
        names: a registered data set for semantic segmentation; not looked at when folders are given.
        image_root, label_root, class_names: own data instead, see `register_label_folders`.
        num_classes: of the model, which must have as many as the data.

    Raises:
        InputError: what is needed is not given or does not exist, or numbers of classes that differ.
    """
    if any(part is not None for part in (image_root, label_root, class_names)):
        if image_root is None or label_root is None or class_names is None:
            raise InputError("own data needs image_root, label_root and class_names of the data set; give all three.")
        names = f"labels of {Path(label_root).resolve()}"
        register_label_folders(names, image_root, label_root, class_names)
    if not names:
        raise InputError("no data set is given; give names, or image_root, label_root and class_names.")
    check_registered(names)
    metadata = MetadataCatalog.get(names)
    if metadata.get("stuff_classes") is None or metadata.get("ignore_label") != IGNORED:
        raise InputError(
            f"{names} has no stuff_classes or an ignore_label other than {IGNORED}; register it with "
            "register_label_folders."
        )
    for folder in (metadata.get("image_root"), metadata.get("sem_seg_root")):
        if folder and "://" not in folder and not Path(folder).is_dir():
            hint = "name an existing folder" if image_root else missing_file_hint(names, folder)
            raise InputError(f"{folder}: no such folder; {hint}.")
    if num_classes is not None and num_classes != len(metadata.stuff_classes):
        raise InputError(
            f"the data has {len(metadata.stuff_classes)} classes, the model {num_classes}; "
            f"give model.decode_head.num_classes={len(metadata.stuff_classes)}."
        )
    return SegmentationDataset(names, DatasetCatalog.get(names))
