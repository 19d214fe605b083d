"""Images in one folder, their label maps in another: the same names, apart from what stands behind the stem."""

import os
from collections.abc import Sequence
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from eva_backbone.errors import InputError
from eva_engine.prediction.categories import read_categories
from eva_engine.prediction.inputs import IMAGE_SUFFIXES

from ..segmentation_targets import IGNORED

_LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")


def register_label_folders(
    name: str,
    image_root: str | Path,
    label_root: str | Path,
    class_names: str | Path | Sequence[str],
    *,
    label_ending: str = "",
) -> None:
    """Register a data set with Detectron2, anew if it is; its folders are looked at when it is used.

    Args:
        class_names: of the label values 0, 1, ...; a list, or a file with one name a line. 255 is no label.
        label_ending: what names of label files have between stem and suffix.

    Raises:
        InputError: no class names, or more than labels of 8 bits have room for.
    """
    if isinstance(class_names, str | Path):
        class_names = read_categories(class_names).names
    class_names = [str(class_name) for class_name in class_names]
    if not 0 < len(class_names) <= IGNORED:
        raise InputError(
            f"class_names has {len(class_names)} names; give 1 to {IGNORED}, of the label values 0, 1, ... "
            f"({IGNORED} is no label)."
        )
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, _Pairs(str(image_root), str(label_root), label_ending))
    MetadataCatalog.get(name).set(
        stuff_classes=class_names,
        image_root=str(image_root),
        sem_seg_root=str(label_root),
        evaluator_type="sem_seg",
        ignore_label=IGNORED,
    )


class _Pairs:
    def __init__(self, image_root: str, label_root: str, label_ending: str) -> None:
        self.arguments = image_root, label_root, label_ending

    def __call__(self) -> list[dict[str, str]]:
        return pair_files(*self.arguments)


def pair_files(image_root: str | Path, label_root: str | Path, label_ending: str = "") -> list[dict[str, str]]:
    """Records {"file_name", "sem_seg_file_name"} of all images below `image_root`, sorted by name.

    Labels lie in the same sub-folder of `label_root` under the name of the image.

    Raises:
        InputError: a folder that is missing, an image without labels, two images of one name, or no image at all.
    """
    labels = {
        stem.removesuffix(label_ending): path
        for stem, path in _files(Path(label_root), _LABEL_SUFFIXES)
        if stem.endswith(label_ending)
    }
    records: dict[str, dict[str, str]] = {}
    for stem, path in _files(Path(image_root), IMAGE_SUFFIXES):
        if stem not in labels:
            raise InputError(
                f"{path}: no label file {stem}{label_ending}.png in {label_root}; add it or take the image away."
            )
        if stem in records:
            raise InputError(f"{path} and {records[stem]['file_name']} have one name; rename one and its labels.")
        records[stem] = {"file_name": path, "sem_seg_file_name": labels[stem]}
    if not records:
        raise InputError(f"{image_root} has no images; name the folder that holds them.")
    return [records[stem] for stem in sorted(records)]


def _files(root: Path, suffixes: Sequence[str]) -> list[tuple[str, str]]:
    """(path below `root` without suffix, path) of all files of these kinds."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; name the one that holds the images or the labels.")
    found = []
    for folder, _, names in os.walk(root, followlinks=True):
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in suffixes and not name.startswith("."):
                path = Path(folder, name)
                found.append((str(path.relative_to(root).with_name(stem)), str(path)))
    return found
