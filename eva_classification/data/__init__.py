"""Image folders and timm's other data sets, and batches, for the training loop of `detectron2_ext`."""

from .class_maps import imagenet_classes, imagenet_v2_classes, objectnet_classes
from .collate import ImageBatches
from .eval_loader import TestLoader
from .image_dataset import ImageRecords
from .mapper import ImageMapper

__all__ = [
    "ImageBatches",
    "ImageMapper",
    "ImageRecords",
    "TestLoader",
    "imagenet_classes",
    "imagenet_v2_classes",
    "objectnet_classes",
]
