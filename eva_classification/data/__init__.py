"""Image folders and timm's other data sets, and batches, for the training loop of `detectron2_ext`."""

from .batches import ImageBatches
from .class_maps import imagenet_classes, imagenet_v2_classes, objectnet_classes
from .image_records import ImageRecords
from .mapper import ImageMapper
from .test_loader import TestLoader

__all__ = [
    "ImageBatches",
    "ImageMapper",
    "ImageRecords",
    "TestLoader",
    "imagenet_classes",
    "imagenet_v2_classes",
    "objectnet_classes",
]
