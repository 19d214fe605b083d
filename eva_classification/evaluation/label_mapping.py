"""Label mappings: which classes count as correct for an image of the evaluation set."""

import json
import os
import re
from importlib import resources
from pathlib import Path

from eva_backbone.errors import InputError

from ..data.class_maps import read_objectnet
from ..data.mapper import UNREADABLE

_VALIDATION_FILE = re.compile(r"ILSVRC2012_val_(\d{8})(?!\d)")


class LabelMapping:
    """Accept the label of the dataset only."""

    def correct_classes(self, label: int, file_name: str) -> tuple[int, ...]:
        """Return the classes that are correct for an image with label `label`; () excludes the image from the metrics.

        The result for an image that could not be read does not matter, unless it is ().
        """
        del file_name
        return (label,)


class RealLabels(LabelMapping):
    """ImageNet-ReaL: the reassessed labels of ImageNet-1K's validation images, of which an image may have several.

    Images without any label are excluded.

    Args:
        labels_file: JSON list with one list of classes for each image, in the order of the file names; None for the
            file in timm, which covers all 50,000 images.

    Raises:
        InputError: The file cannot be read or does not contain such a list.
    """

    def __init__(self, labels_file: str | None = None) -> None:
        if labels_file is None:
            path = resources.files("timm.data").joinpath("_info", "imagenet_real_labels.json")
        else:
            path = Path(labels_file)
        try:
            self.labels = [tuple(map(int, labels)) for labels in json.loads(path.read_text("utf-8"))]
        except (OSError, ValueError, TypeError) as error:
            raise InputError(
                f"{path} is not a JSON list of lists of classes ({error}); give the file of ImageNet-ReaL."
            ) from error

    def correct_classes(self, label: int, file_name: str) -> tuple[int, ...]:
        """Look up the classes by the number in the file name; `label` is ignored.

        Raises:
            InputError: The file is not named like a validation image, or there are no labels for its number.
        """
        del label
        match = _VALIDATION_FILE.search(os.path.basename(file_name))
        if match is None or not 1 <= int(match[1]) <= len(self.labels):
            raise InputError(
                f"{file_name} is not one of the {len(self.labels)} labelled validation images; files must have "
                "ImageNet's names, ILSVRC2012_val_00000001.JPEG and so on."
            )
        return self.labels[int(match[1]) - 1]


class ObjectNetLabels(LabelMapping):
    """ObjectNet: accept all classes of ImageNet-1K that name the object.

    Args:
        root: Folder of the unpacked dataset; its images must be numbered by `objectnet_classes`.
        first_only: Accept only the first of these classes, as for EVA's published numbers.
    """

    def __init__(self, root: str, first_only: bool = False) -> None:
        self.classes = list(read_objectnet(root).values())
        if first_only:
            self.classes = [classes[:1] for classes in self.classes]

    def correct_classes(self, label: int, file_name: str) -> tuple[int, ...]:
        """Return the ImageNet-1K classes of ObjectNet's class `label`."""
        del file_name
        if label == UNREADABLE:
            return (UNREADABLE,)
        return self.classes[label]
