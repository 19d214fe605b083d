"""Adapt a recipe to the user's videos, given on the command line."""

import argparse
import csv
import logging
import os
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.config.class_list import stored_categories
from eva_engine.data.folder_files import find_files, natural_key
from eva_engine.data.split_names import split_of
from eva_engine.data.stratified_split import stratified_split
from eva_engine.prediction.inputs import VIDEO_SUFFIXES
from eva_engine.processes import on_all_ranks
from eva_engine.tasks import check_data_options

from .data.annotation_files import read_label_texts

logger = logging.getLogger(__name__)

# Path, label, and number of frames or None.
_Row = tuple[str, str, str | None]


@dataclass(frozen=True)
class VideoData:
    """Videos for a run: each a list of paths and labels, or a folder with one folder per class.

    Attributes:
        train: Videos to train on; None if the run only evaluates.
        val: Videos to evaluate on; None takes the validation part of the folder `train`, if it has one.
        val_share: Fraction of the videos of `train` to evaluate on instead.
        videos: Folder that the paths of lists are relative to; None for that of the list.
    """

    train: str | None
    val: str | None
    val_share: float | None
    videos: str | None

    @classmethod
    def find(cls, args: argparse.Namespace, cfg: DictConfig) -> "VideoData | None":  # noqa: ARG003  as in all tasks
        """Return the data of the command line; None if the recipe names the data.

        Raises:
            InputError: Options exclude each other, or do not exist as files or folders.
        """
        if not check_data_options(args):
            if args.videos is not None:
                raise InputError("--videos is for --train-data and --val-data; add one of them, or omit it.")
            return None
        return cls(args.train_data, args.val_data, args.val_share, args.videos)

    def apply(self, cfg: DictConfig, training: bool) -> None:
        """Change `cfg` to train, or only to evaluate, on these videos, with their classes.

        The lists are written to the folder of the run.

        Raises:
            InputError: The videos cannot be used.
        """
        folder = Path(cfg.train.output_dir).resolve() / "data"
        lists: dict[str, tuple[str, list[_Row]]] = {}
        if training:
            root, parts = self._read(self.train or "", cfg)
            part = "train" if "train" in parts else "all"
            lists["train"] = root, parts[part]
            if self.val is None and self.val_share is None and ("val" in parts or "test" in parts):
                lists["val"] = root, parts.get("val") or parts["test"]
            if self.val_share is not None:
                if "val" in parts:
                    raise InputError(f"{self.train} has a validation part; omit --val-share.")
                rows = parts[part]
                chosen = set(stratified_split([(label,) for _, label, _ in rows], self.val_share))
                lists["train"] = root, [row for index, row in enumerate(rows) if index not in chosen]
                lists["val"] = root, [row for index, row in enumerate(rows) if index in chosen]
            self._set_classes(cfg, parts[part])
        if self.val is not None:
            root, parts = self._read(self.val, cfg)
            lists["val"] = root, parts.get("val") or parts.get("test") or parts.get("all") or parts["train"]
        on_all_ranks(lambda: _write(lists, folder))
        for part, (root, rows) in lists.items():
            loader = cfg.dataloader.train if part == "train" else cfg.dataloader.test
            loader.dataset.update(annotations=str(folder / f"{part}.csv"), root=root, has_frame_counts=False)
            logger.info("%d videos for %s, in %s", len(rows), part, root)
        if "val" not in lists:
            logger.info("There is no validation data: nothing is evaluated; --val-share 0.1 takes a tenth of them")
            cfg.dataloader.evaluator = None

    @staticmethod
    def _set_classes(cfg: DictConfig, rows: list[_Row]) -> None:
        labels = {label for _, label, _ in rows}
        names = sorted(labels, key=natural_key)
        are_numbers = all(label.isdecimal() for label in labels)
        stored, _ = stored_categories(cfg, "")
        if stored is not None:
            names = list(stored.names)
        elif are_numbers:
            names = [str(number) for number in range(max(map(int, labels)) + 1)]
        cfg.dataloader.class_names = names
        cfg.model.num_classes = len(names)
        adapter = cfg.model.get("state_dict_adapter")
        if adapter is not None and "head_rows" in adapter:
            adapter.head_rows = None  # those are the rows of the published classes

    def _read(self, source: str, cfg: DictConfig) -> tuple[str, dict[str, list[_Row]]]:
        """Return the root of the videos, and the rows of each part, "all" if there is one."""
        if not os.path.isdir(source):
            root = os.path.abspath(self.videos or os.path.dirname(os.path.abspath(source)))
            rows = read_label_texts(source, cfg.dataloader.train.dataset.get("has_frame_counts", False))
            missing = [path for path, _, _ in rows if not _is_below(path, root)]
            if missing:
                raise InputError(
                    f"{source} lists {len(missing)} of {len(rows)} videos that are not in {root}, such as {missing[0]}"
                    "; give their folder with --videos."
                )
            return root, {"all": rows}
        root = os.path.abspath(source)
        parts: dict[str, list[_Row]] = {}
        for path in find_files(root, VIDEO_SUFFIXES):
            folders = path.split("/")[:-1]
            part = split_of(folders[0]) if folders else None
            if len(folders) > (part is not None):
                parts.setdefault(part or "all", []).append((path, folders[part is not None], None))
        if not parts:
            raise InputError(f"{source} has no videos in one folder per class; arrange them so, or give a list.")
        if "train" not in parts:
            parts = {"all": list(chain.from_iterable(parts.values()))}
        return root, parts


def _is_below(path: str, root: str) -> bool:
    full = os.path.normpath(os.path.join(root, path))
    return full.startswith(root.rstrip("/") + "/") and os.path.exists(full)


def _write(lists: dict[str, tuple[str, list[_Row]]], folder: Path) -> None:
    for part, (_, rows) in lists.items():
        with atomic_path(folder / f"{part}.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            has_frame_counts = all(row[2] is not None for row in rows)
            num_columns = 3 if has_frame_counts else 2
            writer.writerow(("path", "label", "num_frames")[:num_columns])
            writer.writerows(row[:num_columns] for row in rows)
