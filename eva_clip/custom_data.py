"""Adapt a recipe to the user's images with captions, or images in one folder per class, given on the command line."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import LazyCall
from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_engine.data.folder_files import find_files
from eva_engine.tasks import check_data_options

from .data import CaptionDataset, ShardDataset


@dataclass(frozen=True)
class PairData:
    """Data for a run.

    Attributes:
        train: Table of images and captions, tar file of pairs, or folder of such files; None if the run only evaluates.
        val: Folder with one folder of images per class, for zero-shot classification.
    """

    train: str | None
    val: str | None

    @classmethod
    def find(cls, args: argparse.Namespace, cfg: DictConfig) -> "PairData | None":  # noqa: ARG003  as in all tasks
        """Return the data of the command line; None if the recipe names the data.

        Raises:
            InputError: Options exclude each other, or do not exist as files or folders.
        """
        return cls(args.train_data, args.val_data) if check_data_options(args) else None

    def apply(self, cfg: DictConfig, training: bool) -> None:
        """Change `cfg` to train, or only to evaluate, on this data.

        Raises:
            InputError: A folder has no tar files, or the recipe does not evaluate.
        """
        if training and self.train is not None:
            self._use_pairs(cfg.dataloader.train, os.path.abspath(self.train))
        if self.val is not None:
            if "test" not in cfg.dataloader or "templates" not in cfg.dataloader.test:
                raise InputError(
                    "this recipe has no zero-shot classification; omit --val-data, and evaluate the run with "
                    "projects/CLIP/configs/zero_shot_folder.py."
                )
            cfg.dataloader.test.dataset.update(root=os.path.abspath(self.val), class_map=None, split=None)
            cfg.dataloader.test.class_names = "folders"

    @staticmethod
    def _use_pairs(loader: DictConfig, source: str) -> None:
        on_error = loader.dataset.get("on_error", "stop")
        if os.path.isdir(source):
            shards = [os.path.join(source, path) for path in find_files(source, (".tar",))]
            if not shards:
                raise InputError(
                    f"{source} has no tar files of pairs; give a folder that has some, or a caption table."
                )
            loader.dataset = LazyCall(ShardDataset)(shards=shards, on_error=on_error)
        elif Path(source).suffix.lower() == ".tar":
            loader.dataset = LazyCall(ShardDataset)(shards=[source], on_error=on_error)
        elif loader.dataset.get("caption_key") is not None:
            loader.dataset.update(file=source, root=None)
        else:
            loader.dataset = LazyCall(CaptionDataset)(
                file=source, root=None, image_key="image", caption_key="caption", on_error=on_error
            )
