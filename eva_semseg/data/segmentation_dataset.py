"""Images with label maps as a dataset: a registered one, or two folders and a list of classes."""

import os
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_engine.config.class_list import STORED_LIST, store_class_list
from eva_engine.config.registered_datasets import check_registered
from eva_engine.data.dataset_folder import missing_file_hint
from eva_engine.text_file import read_lines

from ..segmentation_targets import IGNORE_LABEL
from .label_counts import check_label_values
from .label_file import LabelValues
from .label_folders import register_label_folders
from .palette import read_palette


class SegmentationDataset(list):
    """List of records {"file_name", "sem_seg_file_name", ...}, with "label_values" if they are given.

    Classes without labelled pixels, and values of no class, are reported in a warning; see `check_label_values`.

    Args:
        names: A registered dataset for semantic segmentation; ignored if folders are given.
        image_root, label_root, class_names: Custom data instead of a registered dataset, see
            `register_label_folders`.
        num_classes: Number of the model's classes, which must be that of the data; None for any number.
        label_values: Class index of each value in the label files, such as {0: 0, 255: 1}, with 255 for unlabelled
            pixels; None if the values are the class indices.
        palette: File with the colour of each class, for label maps that are colour images; see `read_palette`. It also
            gives the class names.
        unlabelled: Value of unlabelled pixels, such as 0; the other values from 0 on are the classes in their order.
        listing: Text file with the paths of the images to use, relative to `image_root`, one per line; None uses all.

    Attributes:
        name: The name under which the dataset is registered.
        class_names: The names of its classes.
        label_values: Class index of each value or colour of the label files, or None.

    Raises:
        InputError: An argument is missing, files do not exist, or the numbers of classes differ.
    """

    def __init__(
        self,
        names: str | None = None,
        image_root: str | None = None,
        label_root: str | None = None,
        class_names: str | Sequence[str] | None = None,
        num_classes: int | None = None,
        label_values: Mapping[int, int] | None = None,
        palette: str | None = None,
        unlabelled: int | None = None,
        listing: str | None = None,
    ) -> None:
        colours = None
        if palette is not None:
            if label_values is not None or unlabelled is not None:
                raise InputError(
                    "palette excludes label_values and unlabelled; name the colour of unlabelled pixels in it."
                )
            own_names, colours = read_palette(palette)
            class_names = own_names if class_names is None else class_names
        custom = (image_root, label_root, class_names)
        if any(argument is not None for argument in custom):
            if image_root is None or label_root is None or class_names is None:
                raise InputError("custom data needs image_root, label_root and class_names; give all three.")
            names = f"labels of {Path(label_root).resolve()}"
            register_label_folders(names, image_root, label_root, class_names)
        if not names:
            raise InputError("no dataset is given; give names, or image_root, label_root and class_names.")
        self.name = names
        self.class_names = _check_metadata(names, is_custom=image_root is not None)
        if num_classes is not None and num_classes != len(self.class_names):
            raise InputError(
                f"the data has {len(self.class_names)} classes, the model {num_classes}; "
                f"give model.decode_head.num_classes={len(self.class_names)}."
            )
        super().__init__(DatasetCatalog.get(names))
        if listing is not None and image_root is not None:
            self._keep(listing, image_root)
        self.label_values: LabelValues | None = colours
        if unlabelled is not None:
            self.label_values = _values_around(unlabelled, len(self.class_names))
        elif label_values is not None:
            self.label_values = _check_values(label_values, len(self.class_names))
        if self.label_values is not None:
            self[:] = [{**record, "label_values": self.label_values} for record in self]
        check_label_values([record["sem_seg_file_name"] for record in self], self.class_names, self.label_values)

    def _keep(self, listing: str, image_root: str) -> None:
        """Remove the images that a list does not name."""
        fix = "give the path of one image per line"
        listed = {
            os.path.normpath(os.path.join(image_root, line)) for line in read_lines(listing, "list of images", fix)
        }
        self[:] = [record for record in self if os.path.normpath(record["file_name"]) in listed]
        if len(self) != len(listed):
            raise InputError(
                f"{listing} names {len(listed)} images, of which {image_root} has {len(self)}; correct it."
            )

    @staticmethod
    def use_class_list(
        cfg: DictConfig, train: DictConfig | None, test: DictConfig | None, stored: Sequence[str] | None
    ) -> None:
        """See `eva_engine.config.class_list.settle_class_list`; all lists must be the same."""
        names = stored
        for dataset in (train, test):
            if dataset is None:
                continue
            own = instantiate(dataset).class_names
            names = own if names is None else tuple(names)
            for index, (name, expected) in enumerate(zip_longest(own, names)):
                if name != expected:
                    source = dataset.get("label_root") or dataset.names
                    raise InputError(
                        f"class {index} of {source} is {name!r}, but {expected!r} in the class list of the training; "
                        "give both the same list."
                    )
            store_class_list(cfg, names)
            if dataset.get("class_names") is not None:
                dataset.class_names = STORED_LIST


def _values_around(unlabelled: int, num_classes: int) -> dict[int, int]:
    """Return the class index of each value if one value, 0 to `num_classes`, is that of unlabelled pixels."""
    if not 0 <= unlabelled <= IGNORE_LABEL:
        raise InputError(f"unlabelled is {unlabelled}; give a value of label files, from 0 to {IGNORE_LABEL}.")
    values = [value for value in range(num_classes + 1) if value != unlabelled][:num_classes]
    return {value: index for index, value in enumerate(values)} | {unlabelled: IGNORE_LABEL, IGNORE_LABEL: IGNORE_LABEL}


def _check_values(label_values: Mapping[int, int], num_classes: int) -> dict[int, int]:
    try:
        values = {int(value): int(index) for value, index in label_values.items()}
    except (AttributeError, TypeError, ValueError):
        values = {}
    if not values or not set(values.values()) <= {*range(num_classes), IGNORE_LABEL}:
        raise InputError(
            f"label_values={label_values} does not map label values to classes; give each value a class from 0 to "
            f"{num_classes - 1}, or {IGNORE_LABEL} for unlabelled pixels."
        )
    return values


def _check_metadata(name: str, *, is_custom: bool) -> tuple[str, ...]:
    """Return the class names of a registered dataset after checking that it can be used here."""
    check_registered(name)
    metadata = MetadataCatalog.get(name)
    if metadata.get("stuff_classes") is None or metadata.get("ignore_label") != IGNORE_LABEL:
        raise InputError(
            f"{name} has no stuff_classes, or an ignore_label other than {IGNORE_LABEL}; register it with "
            "register_label_folders."
        )
    for folder in (metadata.get("image_root"), metadata.get("sem_seg_root")):
        is_local = folder and "://" not in folder
        if is_local and not Path(folder).is_dir():
            hint = "give an existing folder" if is_custom else missing_file_hint(name, folder)
            raise InputError(f"{folder}: no such folder; {hint}.")
    return tuple(metadata.stuff_classes)
