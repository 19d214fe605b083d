"""From names of classes to their numbers: of own files, and of the folders of ImageNet and its test sets."""

import json
from collections import Counter
from importlib import resources
from pathlib import Path

from timm.data import ImageNetInfo

from eva_backbone.errors import InputError
from eva_engine.prediction.categories import read_categories

NUM_CLASSES = 1000
_SUBSETS = {"imagenet_a": "imagenet_a_synsets.txt", "imagenet_r": "imagenet_r_synsets.txt"}
ObjectNetClasses = dict[str, tuple[int, ...]]


def imagenet_classes(subset: str | None = None) -> dict[str, int]:
    """WordNet id to class number, in the order of the numbers.

    Args:
        subset: "imagenet_a" or "imagenet_r" for the 200 classes of that set; None: all 1000.

    Raises:
        InputError: an unknown subset.
    """
    numbers = {name: number for number, name in enumerate(ImageNetInfo().label_names())}
    if subset is None:
        return numbers
    if subset not in _SUBSETS:
        raise InputError(f"{subset!r} is no subset of ImageNet's classes; choose one of {', '.join(_SUBSETS)}.")
    file = resources.files("timm.data").joinpath("_info", _SUBSETS[subset])
    return {name: numbers[name] for name in sorted(file.read_text(encoding="utf-8").split(), key=numbers.__getitem__)}


def named_class_map(name: str) -> dict[str, int] | None:
    """The class map "imagenet", "imagenet_a", "imagenet_r" or "imagenet_v2"; None for other names."""
    if name == "imagenet_v2":
        return imagenet_v2_classes()
    if name == "imagenet" or name in _SUBSETS:
        return imagenet_classes(None if name == "imagenet" else name)
    return None


def read_class_map(file: str, root: str = "") -> dict[str, int]:
    """Class name to number, of a file with one name a line, in the order of the numbers; looked for below `root` too.

    Raises:
        InputError: no such file, no name in it, or a name that it has twice.
    """
    names = read_categories(file if Path(file).exists() else Path(root, file)).names
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InputError(f"the class map {file} lists {twice[0]} more than once; list every class once.")
    return {name: number for number, name in enumerate(names)}


def imagenet_v2_classes() -> dict[str, int]:
    """ImageNet-V2 names its folders by the number of the class."""
    return {str(number): number for number in range(NUM_CLASSES)}


def objectnet_classes(root: str) -> dict[str, int]:
    """ObjectNet's folder names to numbers, of the classes only that ImageNet has too; see `read_objectnet`."""
    return {folder: number for number, folder in enumerate(read_objectnet(root))}


def read_objectnet(root: str) -> ObjectNetClasses:
    """For each folder of ObjectNet the ImageNet-1K classes that name the same thing, in the order of its files.

    Args:
        root: the unpacked data set, with `images` and `mappings`.

    Raises:
        InputError: mappings that are missing or do not fit together.
    """
    mappings = Path(root, "mappings")
    try:
        label_of_folder = json.loads((mappings / "folder_to_objectnet_label.json").read_text(encoding="utf-8"))
        names_of_label = json.loads((mappings / "objectnet_to_imagenet_1k.json").read_text(encoding="utf-8"))
        line_of_class = json.loads((mappings / "pytorch_to_imagenet_2012_id.json").read_text(encoding="utf-8"))
        lines = (mappings / "imagenet_to_label_2012_v2").read_text(encoding="utf-8").splitlines()
        first = min(line_of_class.values())  # the lines may be counted from 0 or from 1
        number_of_name = {lines[line - first].strip(): int(number) for number, line in line_of_class.items()}
        return {
            folder: tuple(number_of_name[name] for name in names_of_label[label].split("; "))
            for folder, label in sorted(label_of_folder.items())
            if label in names_of_label
        }
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"the class mappings of ObjectNet in {mappings} cannot be read ({error}); give the folder that the data "
            "set was unpacked to."
        ) from error
    except (KeyError, IndexError) as error:
        raise InputError(
            f"the class mappings of ObjectNet in {mappings} do not fit together: {error} is missing; unpack the data "
            "set again."
        ) from error
