"""Labelled images: published data sets and own folders, transforms, views, mappers, the loader of evaluations.

Importing this registers the built-in data sets.
"""

from eva_engine.data import dataset_root

from .builtin import register_builtin_datasets
from .coco_stuff_classes import COCO_STUFF_CLASSES
from .collate import stack_samples
from .label_dataset import SegmentationDataset, labelled_records
from .label_file import read_labels
from .label_folders import register_label_folders
from .mapper import EvaluationMapper, TrainingMapper
from .test_time_augmentation import TestTimeAugmentation
from .transforms import PhotometricDistortion, RandomCrop, RandomMirror, RandomScale

register_builtin_datasets(dataset_root())

__all__ = [
    "COCO_STUFF_CLASSES",
    "EvaluationMapper",
    "PhotometricDistortion",
    "RandomCrop",
    "RandomMirror",
    "RandomScale",
    "SegmentationDataset",
    "TestTimeAugmentation",
    "TrainingMapper",
    "labelled_records",
    "read_labels",
    "register_builtin_datasets",
    "register_label_folders",
    "stack_samples",
]
