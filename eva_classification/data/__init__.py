"""Image folders and timm's other data sets, transforms and batches, for the training loop of `detectron2_ext`."""

from .batches import ImageBatches
from .class_maps import imagenet_classes, imagenet_v2_classes, objectnet_classes
from .image_records import ImageRecords
from .mapper import ImageMapper
from .test_loader import TestLoader
from .transforms import CLIP_MEAN, CLIP_STD, RandomCropOnce, evaluation_transform, probe_transform, training_transform

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "ImageBatches",
    "ImageMapper",
    "ImageRecords",
    "RandomCropOnce",
    "TestLoader",
    "evaluation_transform",
    "imagenet_classes",
    "imagenet_v2_classes",
    "objectnet_classes",
    "probe_transform",
    "training_transform",
]
