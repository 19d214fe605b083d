"""Own COCO-format data, the mappers, looking up data sets; importing this registers the built-in data sets."""

from .builtin import register_builtin_datasets
from .coco_json import CocoJsonSummary, load_coco_json, register_coco_json
from .dataset_dicts import get_dataset_dicts
from .dataset_root import dataset_root
from .image_file import read_image
from .mapper import InferenceMapper, TrainMapper
from .objects365_classes import OBJECTS365_CLASSES
from .registered import check_registered
from .train_loader import TrainLoader, build_train_loader, worker_failure

register_builtin_datasets(dataset_root())

__all__ = [
    "OBJECTS365_CLASSES",
    "CocoJsonSummary",
    "InferenceMapper",
    "TrainLoader",
    "TrainMapper",
    "build_train_loader",
    "check_registered",
    "dataset_root",
    "get_dataset_dicts",
    "load_coco_json",
    "read_image",
    "register_builtin_datasets",
    "register_coco_json",
    "worker_failure",
]
