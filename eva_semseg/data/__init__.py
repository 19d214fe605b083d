"""Labelled images: published data sets and own folders, augmentations, views, mappers.

Importing this registers the built-in data sets.
"""

from detectron2_ext.data import dataset_root

from .augmentation import PhotometricDistortion, RandomCrop, RandomMirror, RandomScale
from .builtin import register_builtin_datasets
from .coco_stuff_classes import COCO_STUFF_CLASSES
from .label_file import read_labels
from .label_folders import register_label_folders
from .labelled_images import LabelledImages, labelled_images
from .mapper import SegmentationTestMapper, SegmentationTrainMapper, stack_samples
from .views import Views

register_builtin_datasets(dataset_root())

__all__ = [
    "COCO_STUFF_CLASSES",
    "LabelledImages",
    "PhotometricDistortion",
    "RandomCrop",
    "RandomMirror",
    "RandomScale",
    "SegmentationTestMapper",
    "SegmentationTrainMapper",
    "Views",
    "labelled_images",
    "read_labels",
    "register_builtin_datasets",
    "register_label_folders",
    "stack_samples",
]
