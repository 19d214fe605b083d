"""Class maps, from class name to class index: from text files, and for the folders of ImageNet and its test sets."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from timm.data import ImageNetInfo

from eva_backbone.errors import InputError
from eva_engine.prediction.categories import check_class_map, read_categories
from eva_engine.text_file import read_json, read_text

NUM_CLASSES = 1000
_SUBSETS = {"imagenet_a": "imagenet_a_synsets.txt", "imagenet_r": "imagenet_r_synsets.txt"}
ObjectNetClasses = dict[str, tuple[int, ...]]


def imagenet_classes(subset: str | None = None) -> dict[str, int]:
    """Return the class index of each WordNet id of ImageNet-1K, ordered by index.

    Args:
        subset: "imagenet_a" or "imagenet_r" for the 200 classes of that dataset; None for all 1000.

    Raises:
        InputError: The subset is unknown.
    """
    index_of = {wordnet_id: index for index, wordnet_id in enumerate(ImageNetInfo().label_names())}
    if subset is None:
        return index_of
    if subset not in _SUBSETS:
        raise InputError(f"unknown subset of ImageNet's classes {subset!r}; choose one of {', '.join(_SUBSETS)}.")
    file = resources.files("timm.data").joinpath("_info", _SUBSETS[subset])
    wordnet_ids = sorted(file.read_text(encoding="utf-8").split(), key=index_of.__getitem__)
    return {wordnet_id: index_of[wordnet_id] for wordnet_id in wordnet_ids}


def named_class_map(name: str) -> dict[str, int] | None:
    """Return the class map "imagenet", "imagenet_a", "imagenet_r" or "imagenet_v2"; None for other names."""
    if name == "imagenet":
        return imagenet_classes()
    if name in _SUBSETS:
        return imagenet_classes(name)
    if name == "imagenet_v2":
        return imagenet_v2_classes()
    return None


def load_class_map(class_map: Mapping[str, int] | Sequence[str] | str | None, root: str) -> dict[str, int] | None:
    """Return the class index of each name; see `ImageDataset` for the argument."""
    if class_map is None:
        return None
    if not isinstance(class_map, str):
        return check_class_map(class_map, "the class map")
    known = named_class_map(class_map)
    if known is not None:
        return known
    if not class_map.endswith(".txt"):
        raise InputError(
            f"the class map {class_map} is not a text file; give a .txt file with one class name per line, or one of "
            "imagenet, imagenet_a, imagenet_r, imagenet_v2."
        )
    return read_class_map(class_map, root)


def read_class_map(file: str, root: str = "") -> dict[str, int]:
    """Read a text file with one class name per line; the class index is the position of the line.

    If `file` does not exist, it is looked up relative to `root`.

    Raises:
        InputError: There is no such file, it contains no names, or it lists a name twice.
    """
    path = Path(file) if Path(file).exists() else Path(root, file)
    return check_class_map(read_categories(path).names, f"the class map {file}")


def imagenet_v2_classes() -> dict[str, int]:
    """Return the class map of ImageNet-V2, whose folders are named by class index."""
    return {str(index): index for index in range(NUM_CLASSES)}


def objectnet_classes(root: str) -> dict[str, int]:
    """Number the folders of ObjectNet whose class ImageNet-1K has too; see `read_objectnet`."""
    return {folder: index for index, folder in enumerate(read_objectnet(root))}


def read_objectnet(root: str) -> ObjectNetClasses:
    """Return, for each folder of ObjectNet, the ImageNet-1K classes that name the same object, in the files' order.

    Folders without such a class are left out.

    Args:
        root: Folder of the unpacked dataset, with `images` and `mappings`.

    Raises:
        InputError: The mapping files are missing or inconsistent.
    """
    mappings = Path(root, "mappings")
    kind_and_fix = "mapping of ObjectNet's classes", "give the folder to which the dataset was unpacked"
    label_of_folder = read_json(mappings / "folder_to_objectnet_label.json", *kind_and_fix)
    names_of_label = read_json(mappings / "objectnet_to_imagenet_1k.json", *kind_and_fix)
    line_of_class = read_json(mappings / "pytorch_to_imagenet_2012_id.json", *kind_and_fix)
    lines = read_text(mappings / "imagenet_to_label_2012_v2", *kind_and_fix).splitlines()
    try:
        # Line numbers may start at 0 or at 1.
        first_line = min(line_of_class.values())
        class_of_name = {}
        for class_index, line in line_of_class.items():
            class_of_name[lines[line - first_line].strip()] = int(class_index)
        classes_of_folder = {}
        for folder, label in sorted(label_of_folder.items()):
            if label in names_of_label:
                names = names_of_label[label].split("; ")
                classes_of_folder[folder] = tuple(class_of_name[name] for name in names)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        problem = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"the class mappings of ObjectNet in {mappings} are inconsistent: {problem}; unpack the dataset again."
        ) from error
    return classes_of_folder
