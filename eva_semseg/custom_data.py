"""Adapt a recipe to the user's images with label maps, given on the command line."""

import argparse
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.data.folder_files import list_folders
from eva_engine.data.split_names import split_of
from eva_engine.data.stratified_split import stratified_split
from eva_engine.processes import on_all_ranks
from eva_engine.tasks import check_data_options

from .data.label_file import read_labels
from .data.segmentation_dataset import SegmentationDataset

logger = logging.getLogger(__name__)

_IMAGE_FOLDERS = ("images", "image", "imgs", "photos", "jpegimages", "leftimg8bit")
_LABEL_FOLDERS = ("labels", "label", "masks", "mask", "annotations", "segmentationclass", "gtfine")
_PALETTES = ("labelmap.txt", "class_dict.csv", "palette.txt")
_CLASS_LISTS = ("classes.txt", "labels.txt")


@dataclass(frozen=True)
class LabelledData:
    """Images with label maps for a run.

    Attributes:
        train: Folder with the images and label maps to train on; None if the run only evaluates.
        val: Folder of those to evaluate on; None takes the validation part of `train`, if it has one.
        val_share: Fraction of the images of `train` to evaluate on instead.
        classes: File with the class names; None looks for one in the folder.
        palette: File with the colours of the classes; None looks for one in the folder.
        unlabelled: Value of unlabelled pixels; the classes are the other values. None for 255.
    """

    train: str | None
    val: str | None
    val_share: float | None
    classes: str | None
    palette: str | None
    unlabelled: int | None

    @classmethod
    def find(cls, args: argparse.Namespace, cfg: DictConfig) -> "LabelledData | None":  # noqa: ARG003  as in all tasks
        """Return the data of the command line; None if the recipe names the data.

        Raises:
            InputError: Options exclude each other, or do not exist as folders.
        """
        if not check_data_options(args):
            for flag, value in (
                ("class-list", args.class_list),
                ("palette", args.palette),
                ("unlabelled", args.unlabelled),
            ):
                if value is not None:
                    raise InputError(f"--{flag} is for --train-data and --val-data; add one of them, or omit it.")
            return None
        return cls(args.train_data, args.val_data, args.val_share, args.class_list, args.palette, args.unlabelled)

    def apply(self, cfg: DictConfig, training: bool) -> None:
        """Change `cfg` to train, or only to evaluate, on these images, with their classes.

        Raises:
            InputError: The folders are not found, or the data cannot be used.
        """
        train, test = cfg.dataloader.train.dataset, cfg.dataloader.test.dataset
        if not training:
            val_parts = _find_parts(self.val or "")
            test.update(self._settings(self.val or "", _choose(val_parts, "val", "test", "all", "train")))
            return
        source = self.train or ""
        parts = _find_parts(source)
        train.update(self._settings(source, _choose(parts, "train", "all")))
        dataset = SegmentationDataset(**_arguments(train))
        cfg.model.decode_head.num_classes = len(dataset.class_names)
        if self.val is not None:
            test.update(self._settings(self.val, _choose(_find_parts(self.val), "val", "test", "all")))
        elif self.val_share is not None:
            if "val" in parts:
                raise InputError(f"{source} has a validation part; omit --val-share.")
            self._divide(cfg, dataset)
        elif "val" in parts or "test" in parts:
            test.update(self._settings(source, _choose(parts, "val", "test")))
        else:
            logger.info(
                "There is no validation data: nothing is evaluated; --val-share 0.1 takes a tenth of the images"
            )
            cfg.dataloader.evaluator = None

    def _settings(self, source: str, folders: tuple[str, str]) -> dict[str, Any]:
        """Return the arguments of `SegmentationDataset` for a pair of folders in `source`."""
        palette = self.palette or _find_file(source, _PALETTES)
        classes = self.classes or (None if palette else _find_file(source, _CLASS_LISTS))
        if palette is None and classes is None:
            raise InputError(
                f"{source} has no list of classes; add classes.txt with the names of the values 0, 1, ..., one per "
                "line, or give --class-list FILE, or --palette FILE if the label maps are colours."
            )
        settings = {"names": None, "image_root": folders[0], "label_root": folders[1], "listing": None}
        settings |= {"class_names": classes and str(Path(classes).resolve())}
        return settings | {"palette": palette and str(Path(palette).resolve()), "unlabelled": self.unlabelled}

    def _divide(self, cfg: DictConfig, dataset: SegmentationDataset) -> None:
        """Write a list of the images of each part to the folder of the run, and use them."""
        folder = Path(cfg.train.output_dir).resolve() / "data"
        root = cfg.dataloader.train.dataset.image_root

        def write() -> None:
            classes = []
            for record in dataset:
                values = np.unique(
                    read_labels(record["sem_seg_file_name"], 2**31 - 1, None, record.get("label_values"))
                )
                classes.append(tuple(values.tolist()))
            chosen = set(stratified_split(classes, self.val_share or 0))
            parts: dict[str, list[str]] = {"train": [], "val": []}
            for index, record in enumerate(dataset):
                part = "val" if index in chosen else "train"
                parts[part].append(os.path.relpath(record["file_name"], root))
            for part, paths in parts.items():
                with atomic_path(folder / f"{part}.txt") as partial:
                    partial.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")

        on_all_ranks(write)
        cfg.dataloader.test.dataset.update(names=None, **_arguments(cfg.dataloader.train.dataset))
        for part, loader in (("train", cfg.dataloader.train), ("val", cfg.dataloader.test)):
            loader.dataset.listing = str(folder / f"{part}.txt")


def _arguments(dataset: DictConfig) -> dict[str, Any]:
    keys = ("image_root", "label_root", "class_names", "palette", "unlabelled")
    return {key: dataset[key] for key in keys} | {"label_values": dataset.get("label_values")}


def _find_parts(source: str) -> dict[str, tuple[str, str]]:
    """Return the folders of images and of label maps of each part, "all" if there is one.

    Raises:
        InputError: There are none, as in train/images and train/labels, or images/train and labels/train.
    """
    root = os.path.abspath(source)
    if not os.path.isdir(root):
        raise InputError(f"{source} is not a folder; give one with the folders images and labels.")
    found = {}
    own = _pair(root)
    if own is not None:
        images, labels = own
        label_parts = {split_of(name): name for name in list_folders(labels)}
        for name in list_folders(images):
            part = split_of(name)
            if part is not None and part in label_parts:
                found[part] = os.path.join(images, name), os.path.join(labels, label_parts[part])
        if "train" not in found:
            found = {"all": own}
    else:
        for name in list_folders(root):
            pair, part = _pair(os.path.join(root, name)), split_of(name)
            if pair is not None and part is not None:
                found[part] = pair
    if not found:
        raise InputError(
            f"{source} has no folders of images and of label maps; name them images and labels (or masks), below "
            "folders train and val if there are two parts."
        )
    return found


def _pair(folder: str) -> tuple[str, str] | None:
    names = list_folders(folder)
    images = next((name for name in names if name.lower() in _IMAGE_FOLDERS), None)
    labels = next((name for name in names if name.lower() in _LABEL_FOLDERS), None)
    if images is None or labels is None:
        return None
    return os.path.join(folder, images), os.path.join(folder, labels)


def _choose(parts: dict[str, tuple[str, str]], *names: str) -> tuple[str, str]:
    for name in names:
        if name in parts:
            return parts[name]
    raise InputError(f"the data has the parts {', '.join(parts)}, expected {names[0]}; give the folder of that part.")


def _find_file(source: str, names: tuple[str, ...]) -> str | None:
    """Return the first of these files in a folder or the one around it."""
    for folder in (Path(source).resolve(), Path(source).resolve().parent):
        for name in names:
            if (folder / name).is_file():
                return str(folder / name)
    return None
