"""Which predictions are right for an image."""

import json
import os
import re
from importlib import resources
from pathlib import Path

from eva_backbone.errors import InputError

from ..data.class_maps import read_objectnet
from ..data.mapper import UNREADABLE

_VALIDATION_FILE = re.compile(r"ILSVRC2012_val_(\d{8})(?!\d)")


class AnswerKey:
    """The class of the data set."""

    def accepted(self, label: int, file_name: str) -> tuple[int, ...]:
        """Classes that are right for an image of class `label`, if it can be read; () leaves it out of the score."""
        del file_name
        return (label,)


class RealAnswers(AnswerKey):
    """ImageNet-ReaL: the classes that people saw in each image of ImageNet-1K's validation set, which may be several.

    Images in which they saw none are left out.

    Args:
        labels_file: JSON list with a list of classes for every image, in the order of the file names; None: the one
            that timm brings along, of 50,000 images.

    Raises:
        InputError: a file that is no such list.
    """

    def __init__(self, labels_file: str | None = None) -> None:
        default = resources.files("timm.data").joinpath("_info", "imagenet_real_labels.json")
        path = default if labels_file is None else Path(labels_file)
        try:
            self.labels = [tuple(int(label) for label in labels) for labels in json.loads(path.read_text("utf-8"))]
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{path} is no JSON list of lists of classes ({error}); give ImageNet-ReaL's.") from error

    def accepted(self, label: int, file_name: str) -> tuple[int, ...]:
        """By the number in the file's name.

        Raises:
            InputError: no name of a validation image, or a number without labels.
        """
        del label
        number = _VALIDATION_FILE.search(os.path.basename(file_name))
        if number is None or not 1 <= int(number[1]) <= len(self.labels):
            raise InputError(
                f"{file_name} is none of the {len(self.labels)} labelled validation images; their names must be those "
                "of ImageNet, ILSVRC2012_val_00000001.JPEG and so on."
            )
        return self.labels[int(number[1]) - 1]


class ObjectNetAnswers(AnswerKey):
    """ObjectNet: all classes of ImageNet-1K that name the object.

    Args:
        root: the unpacked data set; its images are numbered by `objectnet_classes`.
        first_only: only the first of them is right, as published numbers of EVA have it.
    """

    def __init__(self, root: str, first_only: bool = False) -> None:
        classes = read_objectnet(root).values()
        self.classes = [numbers[:1] for numbers in classes] if first_only else list(classes)

    def accepted(self, label: int, file_name: str) -> tuple[int, ...]:
        """ImageNet's numbers of the class `label` of ObjectNet."""
        del file_name
        return (UNREADABLE,) if label == UNREADABLE else self.classes[label]
