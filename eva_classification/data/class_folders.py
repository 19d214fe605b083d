"""Find the split and the classes of a dataset with one folder per class."""

import logging
import os
from collections.abc import Collection, Mapping, Sequence

from eva_backbone.errors import InputError
from eva_engine.data.folder_files import has_image, list_folders, natural_key
from eva_engine.data.split_names import SPLIT_WORDS, split_of
from eva_engine.text_layout import join_first

logger = logging.getLogger(__name__)

_MAX_NAMES = 5


def find_split(
    root: str,
    split: str | None,
    class_names: Collection[str] = (),
    has_labels: bool = True,
    paths: Sequence[str] | None = None,
) -> str:
    """Return the folder of a split, relative to `root`; "" if the folders in `root` are classes.

    Names of splits are compared without regard to case and to usual additions, as in "train_images" and "Test2017".

    Args:
        root: Folder, or tar file, with a folder for each split or each class.
        split: Name of the split, or any folder of another name; None for `root` itself.
        class_names: Names of the classes, if they are known.
        has_labels: Whether the images are in one folder per class.
        paths: Paths of the images in a tar file.

    Raises:
        InputError: The split is missing or ambiguous, or there are both splits and classes.
    """
    if split is None:
        return ""
    wanted = split_of(split)
    if paths is None:
        names = list_folders(root)
        if wanted is None or "/" in split or any(map(split_of, names)):
            paths = _outline(root)
    folders = [path.split("/")[:-1] for path in paths or ()]
    names = list(dict.fromkeys(parts[0] for parts in folders if parts))
    if set(names) <= set(class_names):
        return ""
    if wanted is None or "/" in split:
        found = [name for name in {*names, *map("/".join, folders)} if name.lower() == split.lower()]
        splits = dict.fromkeys(names)
    else:
        splits = {}
        for name in names:
            split_name = split_of(name)
            if split_name:
                splits[name] = split_name
        nested = {parts[0] for parts in folders if len(parts) > 1}
        if not splits or _are_classes(names, splits, nested, root, has_labels):
            return ""
        found = [name for name in splits if splits[name] == wanted]
        if split in found and split.lower() not in SPLIT_WORDS:  # "test2" where there is "test1", too
            found = [split]
    if not found:
        raise InputError(
            f"{root} has no folder {split}, but {join_names(list(splits))}: set split to one of these, or set the "
            "dataset's root to the folder to read."
        )
    if len(found) > 1:
        raise InputError(
            f"{root} has {join_names(found)} for the split {split}; set the dataset's root to one of them."
        )
    return found[0]


def _outline(root: str) -> list[str]:
    """Return a path in each of the folders in `root` that has images, and in each of the folders in those."""
    paths = []
    for name in list_folders(root):
        for inner in list_folders(os.path.join(root, name)):
            if has_image(os.path.join(root, name, inner)):
                paths.append(f"{name}/{inner}/image")
        if has_image(os.path.join(root, name)):
            paths.append(f"{name}/image")
    return paths


def _are_classes(names: Sequence[str], splits: Collection[str], nested: set[str], root: str, has_labels: bool) -> bool:
    """Return whether folders with names of splits are classes, because there are others that are not splits.

    A split has folders of its classes; a class usually has only images.
    """
    others = [name for name in names if name not in splits]
    if not others:
        return False
    if has_labels and nested.isdisjoint(splits):
        logger.info("%s: %s is read as a class, like %s", root, join_names(list(splits)), join_names(others))
        return True
    if len(set(map(split_of, splits))) == 1 and (not has_labels or not nested.isdisjoint(others)):
        raise InputError(
            f"{root} has {join_names(list(splits))}, which looks like a split, and {join_names(others)}, which does "
            "not; set the dataset's root to the folder to read, or split=null if all folders are classes."
        )
    logger.warning("%s: left out %s, which is not a split", root, join_names(others))
    return False


def find_classes(
    paths: Sequence[str], class_map: Mapping[str, int] | None, source: str, folders: Sequence[str] = ()
) -> tuple[list[str], dict[str, int]]:
    """Return the class name of each image, "" for images outside of the classes, and the class index of each name.

    With a class map, classes are the first level of folders that it lists; else the first level with several folders,
    in natural order of their names. Folders inside of a class are its content.

    Args:
        paths: Paths of the images, relative to the folder of the split.
        class_map: Class index of each name, or None.
        source: Folder or tar file, for messages.
        folders: All folders in that of the split, also those without images; none for a tar file.

    Raises:
        InputError: No image is in a folder, or a folder contains all others.
    """
    parents = [path.split("/")[:-1] for path in paths]
    level = 0
    for depth in range(max(map(len, parents))):
        at_depth = {parts[depth] for parts in parents if len(parts) > depth}
        has_classes = len(at_depth) > 1 if class_map is None else not at_depth.isdisjoint(class_map)
        if has_classes:
            level = depth
            break
    around = set()
    for parts in parents:
        around.update(parts[:level])
    if any(map(split_of, around)):
        raise InputError(
            f"{source} has splits in other folders, {join_names(sorted(around))}; set the dataset's root to the "
            "folder that contains the splits, or to one of them."
        )
    names = [parts[level] if len(parts) > level else "" for parts in parents]
    with_images = set(names) - {""}
    if not with_images or (level and class_map is None and folders):
        raise InputError(
            f"{source} has images, but no folders of classes, or one folder that contains all others; put the images "
            "in one folder per class, set the dataset's root to the folder that contains these, or set "
            "has_labels=False for pre-training without labels."
        )
    if "" in names:
        logger.warning("%s: left out %d images that are not in the folder of a class", source, names.count(""))
    listed = sorted(with_images.union(folders), key=natural_key) if class_map is None else class_map
    missing = [name for name in listed if name not in with_images]
    if missing:
        logger.warning(
            "%s: no images of %d of the %d classes: %s", source, len(missing), len(listed), join_names(missing)
        )
    if class_map is None:
        return names, {name: index for index, name in enumerate(listed)}
    return names, {name: class_map[name] for name in sorted(with_images & class_map.keys(), key=natural_key)}


def check_num_classes(
    class_numbers: Mapping[str, int], num_classes: int | None, source: str, is_numbered_by_folder: bool
) -> None:
    """Raise `InputError` if there are more classes than the model has; warn if classes numbered by folder are fewer."""
    if num_classes is None or not class_numbers:
        return
    needed = max(class_numbers.values()) + 1
    if needed > num_classes:
        raise InputError(
            f"{source} has {needed} classes, but the model only {num_classes}; set the model's num_classes to "
            f"{needed}, or check the folder."
        )
    if is_numbered_by_folder and needed < num_classes:
        logger.warning(
            "%s has images of %d classes, but the model has %d: they are numbered in the order of these folders, "
            "which differs from that of a dataset with more classes; list all classes in a class map.",
            source,
            needed,
            num_classes,
        )


def join_names(names: Sequence[str]) -> str:
    """Return the first names, separated by commas, and the number of the others."""
    return join_first(names, _MAX_NAMES)
