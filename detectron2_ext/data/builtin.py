"""Register the published datasets that Detectron2 does not register itself, under the root DETECTRON2_DATASETS."""

import os

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.lvis import get_lvis_instances_meta

from eva_engine.data.dataset_folder import missing_file_hint

from .coco_json import TableDataset, load_coco_json
from .objects365_classes import OBJECTS365_CLASSES
from .published_records import PublishedDataset
from .record_table import RecordTable

_LVIS = {
    "lvis_v1_val_5k": "lvis/lvis_v1_val_5k.json",
    "lvis_v1_val_cocofied": "lvis/lvis_v1_val_5k_cocofied.json",
}
_OBJECTS365 = {
    "objects365_train": "Objects365/annotations/zhiyuan_objv2_train.json",
    "objects365_val": "Objects365/annotations/zhiyuan_objv2_val.json",
}


def register_builtin_datasets(root: str) -> None:
    """Register `lvis_v1_val_5k`, `lvis_v1_val_cocofied`, `objects365_train` and `objects365_val`.

    No file is read before a dataset is used. A name that is already registered is left as it is.

    Args:
        root: Folder that holds all datasets; see datasets/README.md for the layout.
    """
    for name, json_file in _LVIS.items():
        if name not in DatasetCatalog:
            json_file = os.path.join(root, json_file)
            image_root = os.path.join(root, "coco/")
            DatasetCatalog.register(name, PublishedDataset(name, json_file, image_root, is_lvis=True))
            MetadataCatalog.get(name).set(
                json_file=json_file, image_root=image_root, evaluator_type="lvis", **get_lvis_instances_meta(name)
            )
    for name, json_file in _OBJECTS365.items():
        if name not in DatasetCatalog:
            json_file = os.path.join(root, json_file)
            image_root = os.path.join(root, "Objects365")
            DatasetCatalog.register(name, _Objects365Loader(name, json_file, image_root))
            MetadataCatalog.get(name).set(
                json_file=json_file,
                image_root=image_root,
                evaluator_type="coco",
                thing_classes=list(OBJECTS365_CLASSES),
                thing_dataset_id_to_contiguous_id={index + 1: index for index in range(len(OBJECTS365_CLASSES))},
            )


class _Objects365Loader(TableDataset):
    """Load Objects365 records and skip bad ones: the published files list a few images that are in no archive."""

    def __init__(self, name: str, json_file: str, image_root: str) -> None:
        self.name, self.json_file, self.image_root = name, json_file, image_root

    def __call__(self) -> RecordTable:
        known = dict(enumerate(OBJECTS365_CLASSES, start=1))
        hint = missing_file_hint(self.name, self.json_file)
        return load_coco_json(
            self.json_file, self.image_root, self.name, on_error="skip", known_categories=known, hint=hint
        )[0]
