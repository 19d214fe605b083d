"""Class names for zero-shot classification: from published lists, files, folder names and datasets."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.data.batching import MapStyleDataset
from eva_engine.prediction.categories import check_names
from eva_engine.text_file import read_json, read_lines

_IMAGENET_SUBSETS = ("imagenet_a", "imagenet_r")


def read_class_names(source: str | Sequence[str]) -> tuple[str, ...]:
    """Return a name for each class, in the order of the class numbers.

    Args:
        source: "imagenet" for OpenAI's names of the 1000 classes of ImageNet-1K; "imagenet_a" or "imagenet_r" for its
            names of the 200 classes of that dataset; a text file with one name per line; or the names themselves.

    Raises:
        InputError: There is no name, a name is empty, or the file is unreadable.
    """
    if source == "imagenet":
        return tuple(open_clip_metadata().IMAGENET_CLASSNAMES)
    if isinstance(source, str) and source in _IMAGENET_SUBSETS:
        # Imported here because it reads timm's list of the classes, which other sources do not need.
        from eva_classification.data.class_maps import imagenet_classes

        imagenet_names = open_clip_metadata().IMAGENET_CLASSNAMES
        return tuple(imagenet_names[number] for number in imagenet_classes(source).values())
    names = read_lines(source, "list of names", "give one name per line") if isinstance(source, str) else source
    return check_names(names, source if isinstance(source, str) else "the list of class names")


def class_numbers(dataset: MapStyleDataset[Any]) -> dict[str, int]:
    """Return the class numbers of an `ImageDataset` by class name; empty for datasets without class names."""
    return getattr(dataset, "class_numbers", {})


def folder_names(dataset: MapStyleDataset[Any]) -> list[str]:
    """Return the folder names of a dataset in the order of the class numbers, with spaces instead of underscores.

    Raises:
        InputError: The dataset does not have a name for each class.
    """
    numbers = class_numbers(dataset)
    if not numbers or sorted(numbers.values()) != list(range(len(numbers))):
        source = getattr(dataset, "source", "the dataset")
        raise InputError(
            f"the classes of {source} have no names, or not all of them do; set dataloader.test.class_names to a text "
            "file with one name per line."
        )
    return [name.replace("_", " ").strip() for name in sorted(numbers, key=numbers.__getitem__)]


def check_names_of_folders(dataset: MapStyleDataset[Any], names: Sequence[str]) -> None:
    """Check that names are in the order of the image folders, if these define the class numbers.

    Raises:
        InputError: A name is that of the folder of another class, or there are more names than folders.
    """
    if not getattr(dataset, "is_numbered_by_folder", False):
        return
    texts = [name.replace("_", " ").strip().lower() for name in names]
    for folder, number in class_numbers(dataset).items():
        text = folder.replace("_", " ").strip().lower()
        if text in texts and number < len(texts) and texts[number] != text:
            raise InputError(
                f"{folder!r} is class {number} in the image folders, but class {texts.index(text)} in the list of "
                "names; give the names in the order of the folders, or list the folders in a class map."
            )
    num_folders = len(class_numbers(dataset))
    if len(names) > num_folders:
        raise InputError(
            f"there are {len(names)} class names, but {num_folders} image folders, which give the class numbers; give "
            "a name for each folder, or list the folders in a class map."
        )


def objectnet_names(root: str) -> list[str]:
    """Return ObjectNet's names of the classes that are in ImageNet-1K too, in lower case, ordered by class number.

    Args:
        root: The unpacked dataset, with the folders `images` and `mappings`.

    Raises:
        InputError: The mappings are missing or inconsistent.
    """
    from eva_classification.data.class_maps import read_objectnet

    folders = read_objectnet(root)
    labels = read_json(Path(root, "mappings", "folder_to_objectnet_label.json"), "mapping", "unpack the dataset again")
    return [labels[folder].lower() for folder in folders]


def open_clip_metadata() -> ModuleType:
    """Return open_clip's module with OpenAI's class names and templates, imported on demand because it is slow."""
    from open_clip import zero_shot_metadata

    return zero_shot_metadata
