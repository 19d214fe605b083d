"""Datasets of images in one folder and their label maps in another, with the same file names up to the ending."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from eva_backbone.errors import InputError
from eva_engine.data.folder_files import IMAGE_SUFFIXES, find_files
from eva_engine.prediction.categories import check_names, read_categories

from ..segmentation_targets import IGNORE_LABEL

logger = logging.getLogger(__name__)

_LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")


def register_label_folders(
    name: str,
    image_root: str | Path,
    label_root: str | Path,
    class_names: str | Path | Sequence[str],
    *,
    label_ending: str = "",
) -> None:
    """Register a dataset with Detectron2, replacing one of the same name; its folders are read when it is used.

    Args:
        name: Name of the dataset.
        image_root: Folder of the images; sub-folders are included.
        label_root: Folder of the label maps, with the same sub-folders.
        class_names: Names of the label values 0, 1, ...: a list, or a file with one name per line. 255 marks unlabelled
            pixels.
        label_ending: Text that label files have between the stem of the image and the suffix.

    Raises:
        InputError: No class names, or more than 8-bit labels can represent.
    """
    if isinstance(class_names, str | Path):
        class_names = read_categories(class_names).names
    class_names = check_names(class_names, "class_names")
    if not 0 < len(class_names) <= IGNORE_LABEL:
        raise InputError(
            f"class_names has {len(class_names)} names; give 1 to {IGNORE_LABEL}, for the label values 0, 1, ... "
            f"({IGNORE_LABEL} marks unlabelled pixels)."
        )
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, _Pairs(str(image_root), str(label_root), label_ending))
    MetadataCatalog.get(name).set(
        stuff_classes=list(class_names),
        image_root=str(image_root),
        sem_seg_root=str(label_root),
        evaluator_type="sem_seg",
        ignore_label=IGNORE_LABEL,
    )


class _Pairs:
    """Function without arguments for Detectron2's catalog, which can be pickled, unlike a lambda."""

    def __init__(self, image_root: str, label_root: str, label_ending: str) -> None:
        self.arguments = image_root, label_root, label_ending

    def __call__(self) -> list[dict[str, str]]:
        return pair_files(*self.arguments)


def pair_files(image_root: str | Path, label_root: str | Path, label_ending: str = "") -> list[dict[str, str]]:
    """Return records {"file_name", "sem_seg_file_name"} of all images below `image_root`, sorted by name.

    The label file of an image is in the same sub-folder of `label_root` and has the name of the image, plus
    `label_ending`.

    Raises:
        InputError: A folder is missing, an image has no labels, two images or label files have the same name, or there
            is no image.
    """
    labels: dict[str, str] = {}
    for stem, path in _files(Path(label_root), _LABEL_SUFFIXES):
        if stem.endswith(label_ending):
            _add(labels, stem.removesuffix(label_ending), path)
    images: dict[str, str] = {}
    for stem, path in _files(Path(image_root), IMAGE_SUFFIXES):
        _add(images, stem, path)
    if not images:
        raise InputError(f"{image_root} has no images; give the folder that contains them.")
    without_image = [labels[stem] for stem in sorted(labels.keys() - images.keys())]
    without_labels = sorted(images.keys() - labels.keys())
    if without_labels:
        stem = without_labels[0]
        others = (
            f"; {len(without_image)} label files have no image, such as {without_image[0]}" if without_image else ""
        )
        raise InputError(
            f"{images[stem]}: no label file {stem}{label_ending}.png in {label_root}, and so for {len(without_labels)} "
            f"of {len(images)} images; add them or remove the images{others}."
        )
    if without_image:
        examples = ", ".join(without_image[:3])
        logger.warning("%d label file(s) have no image and are not used, such as %s.", len(without_image), examples)
    return [{"file_name": images[stem], "sem_seg_file_name": labels[stem]} for stem in sorted(images)]


def _add(paths: dict[str, str], stem: str, path: str) -> None:
    if paths.setdefault(stem, path) != path:
        first, second = sorted((path, paths[stem]))
        raise InputError(f"{first} and {second} have the same name; keep one of them, or rename it and its partner.")


def _files(root: Path, suffixes: Sequence[str]) -> list[tuple[str, str]]:
    """Return (path relative to `root` without suffix, path) of all files with one of `suffixes`."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give the one that contains the images or the labels.")
    return [(os.path.splitext(name)[0], str(root / name)) for name in find_files(str(root), suffixes)]
