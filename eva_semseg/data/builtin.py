"""COCO-Stuff-164K under the root DETECTRON2_DATASETS; ADE20K is registered by Detectron2."""

import os

from detectron2.data import DatasetCatalog

from .coco_stuff_classes import COCO_STUFF_CLASSES
from .label_folders import register_label_folders

COCO_STUFF_SPLITS = {"coco_stuff164k_train": "train2017", "coco_stuff164k_val": "val2017"}
LABEL_ENDING = "_labelTrainIds"


def register_builtin_datasets(root: str) -> None:
    """Registers ``coco_stuff164k_train`` and ``coco_stuff164k_val``; a name that is registered stays as it is."""
    for name, split in COCO_STUFF_SPLITS.items():
        if name not in DatasetCatalog:
            register_label_folders(
                name,
                os.path.join(root, "coco", split),
                os.path.join(root, "coco_stuff164k", "annotations", split),
                COCO_STUFF_CLASSES,
                label_ending=LABEL_ENDING,
            )
