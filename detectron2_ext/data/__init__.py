"""COCO-format data, mappers and dataset lookup for detection; importing this registers the built-in datasets."""

from eva_engine.data.dataset_folder import dataset_root

from .builtin import register_builtin_datasets
from .coco_json import CocoJsonSummary, load_coco_json, register_coco_json
from .dataset_dicts import get_dataset_dicts
from .mapper import EvaluationMapper, TrainingMapper
from .objects365_classes import OBJECTS365_CLASSES
from .repeat_factors import repeat_factors

register_builtin_datasets(dataset_root())

__all__ = [
    "OBJECTS365_CLASSES",
    "CocoJsonSummary",
    "EvaluationMapper",
    "TrainingMapper",
    "get_dataset_dicts",
    "load_coco_json",
    "register_builtin_datasets",
    "register_coco_json",
    "repeat_factors",
]
