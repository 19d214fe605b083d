"""Adapt a recipe to the user's images, given on the command line."""

import argparse
import csv
import logging
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.data.stratified_split import stratified_split
from eva_engine.processes import on_all_ranks
from eva_engine.tasks import check_data_options

from .data.class_folders import find_split
from .data.image_dataset import ImageDataset

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageData:
    """Images for a run: each a folder with one folder per class, or a list of paths and classes.

    Attributes:
        train: Images to train on; None if the run only evaluates.
        val: Images to evaluate on; None takes the validation part of `train`, if it has one.
        val_share: Fraction of the images of `train` to evaluate on instead.
    """

    train: str | None
    val: str | None
    val_share: float | None

    @classmethod
    def find(cls, args: argparse.Namespace, cfg: DictConfig) -> "ImageData | None":  # noqa: ARG003  a task may need it
        """Return the data of the command line; None if the recipe names the data.

        Raises:
            InputError: Options exclude each other, or do not exist as files or folders.
        """
        if not check_data_options(args):
            return None
        return cls(args.train_data, args.val_data, args.val_share)

    def apply(self, cfg: DictConfig, training: bool) -> None:
        """Change `cfg` to train, or only to evaluate, on these images, with their classes.

        Raises:
            InputError: The images cannot be used.
        """
        train, test = cfg.dataloader.train.dataset, cfg.dataloader.get("test", {}).get("dataset")
        val = self.val
        if training and self.train is not None:
            _use(train, self.train, "train")
            dataset = _read(train)
            if dataset.class_numbers:
                cfg.model.num_classes = max(dataset.class_numbers.values()) + 1
            if self.val_share is not None:
                self._divide(cfg, dataset)
                return
            if not val and (_has_part(self.train, "val") or _has_part(self.train, "test")):
                val = self.train
        if test is None:
            return
        if val is None:
            logger.info(
                "There is no validation data: nothing is evaluated; --val-share 0.1 takes a tenth of the images"
            )
            cfg.dataloader.evaluator = None
            return
        has_only_test = _has_part(val, "test") and not _has_part(val, "val")
        _use(test, val, "test" if has_only_test else "val")

    def _divide(self, cfg: DictConfig, dataset: ImageDataset) -> None:
        """Write a list of the images of each part to the folder of the run, and use them."""
        if _has_part(self.train or "", "val"):
            raise InputError(f"{self.train} has a validation part; omit --val-share.")
        entries = dataset.entries()
        folder = Path(cfg.train.output_dir).resolve() / "data"
        chosen = set(stratified_split([(label,) for _, label in entries], self.val_share or 0))

        def write() -> None:
            entries_of: dict[str, list] = {"train": [], "val": []}
            for index, entry in enumerate(entries):
                part = "val" if index in chosen else "train"
                entries_of[part].append(entry)
            for part, part_entries in entries_of.items():
                with atomic_path(folder / f"{part}.csv") as partial, partial.open("w", newline="") as file:
                    rows = csv.writer(file)
                    rows.writerow(("path", "class"))
                    rows.writerows(part_entries)

        on_all_ranks(write)
        logger.info("%s: %d images to train on, %d to evaluate on", self.train, len(entries) - len(chosen), len(chosen))
        for part, loader in (("train", cfg.dataloader.train), ("val", cfg.dataloader.test)):
            loader.dataset.update(root=dataset.root, listing=str(folder / f"{part}.csv"), split=None, class_map=None)


def _has_part(source: str, part: str) -> bool:
    """Return whether a folder has a folder for this part of the data."""
    try:
        return Path(source).is_dir() and bool(find_split(source, part))
    except InputError:
        return False


def _use(dataset: DictConfig, source: str, part: str) -> None:
    path = Path(source).resolve()
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        dataset.update(root=str(path.parent), listing=str(path), split=None)
    else:
        dataset.update(root=str(path), listing=None, split=part if _has_part(source, part) else None)
    dataset.class_map = None


def _read(dataset: DictConfig) -> ImageDataset:
    return ImageDataset(
        dataset.root, split=dataset.split, listing=dataset.listing, has_labels=dataset.get("has_labels", True)
    )
