"""Class names that come with a data set."""

import json
from pathlib import Path
from typing import Any

from eva_backbone.errors import InputError
from eva_classification.data.class_maps import read_objectnet
from eva_engine.data.batching import Records


def class_numbers(dataset: Records[Any]) -> dict[str, int]:
    """From class name to number, as `ImageDataset` has them; empty where a data set does not name its classes."""
    return getattr(dataset, "class_numbers", {})


def folder_names(dataset: Records[Any]) -> list[str]:
    """The folders' names, in the order of the class numbers, with spaces for underscores.

    Raises:
        InputError: a data set whose classes have no names.
    """
    numbers, source = class_numbers(dataset), getattr(dataset, "source", "the data set")
    if not numbers or sorted(numbers.values()) != list(range(len(numbers))):
        raise InputError(
            f"the classes of {source} have no names, or not all numbers have one; give "
            "dataloader.test.class_names a text file with a name a line."
        )
    return [name.replace("_", " ").strip() for name in sorted(numbers, key=numbers.__getitem__)]


def objectnet_names(root: str) -> list[str]:
    """ObjectNet's own names of the classes that ImageNet has too, in the order of `objectnet_classes`, in lower case.

    Args:
        root: the unpacked data set, with `images` and `mappings`.

    Raises:
        InputError: mappings that are missing or do not fit together.
    """
    folders = read_objectnet(root)
    labels = json.loads(Path(root, "mappings", "folder_to_objectnet_label.json").read_text(encoding="utf-8"))
    return [labels[folder].lower() for folder in folders]
