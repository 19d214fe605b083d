"""Images with label maps: published datasets and custom folders, augmentations, mappers and collating.

Importing this package registers the built-in datasets.
"""

from eva_engine.data.dataset_folder import dataset_root

from .coco_stuff import COCO_STUFF_CLASSES, register_builtin_datasets
from .collate import SegmentationCollate
from .label_file import read_labels
from .label_folders import register_label_folders
from .mapper import EvaluationMapper, TrainingMapper
from .segmentation_dataset import SegmentationDataset
from .test_time_augmentation import TestTimeAugmentation
from .transforms import PhotometricDistortion, RandomCrop, RandomFlip, RandomScale

register_builtin_datasets(dataset_root())

__all__ = [
    "COCO_STUFF_CLASSES",
    "EvaluationMapper",
    "PhotometricDistortion",
    "RandomCrop",
    "RandomFlip",
    "RandomScale",
    "SegmentationCollate",
    "SegmentationDataset",
    "TestTimeAugmentation",
    "TrainingMapper",
    "read_labels",
    "register_builtin_datasets",
    "register_label_folders",
]
