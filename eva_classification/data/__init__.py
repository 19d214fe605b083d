"""Image folders and other datasets of timm as records, and their mapper and collate function."""

from .class_maps import imagenet_classes, imagenet_v2_classes, objectnet_classes
from .collate import ImageCollate
from .image_dataset import ImageDataset
from .mapper import EvaluationMapper, TrainingMapper

__all__ = [
    "EvaluationMapper",
    "ImageCollate",
    "ImageDataset",
    "TrainingMapper",
    "imagenet_classes",
    "imagenet_v2_classes",
    "objectnet_classes",
]
