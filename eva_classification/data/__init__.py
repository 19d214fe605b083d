"""Image folders and timm's other data sets, and batches, for the training loop of `detectron2_ext`."""

from .class_maps import imagenet_classes, imagenet_v2_classes, objectnet_classes
from .collate import ImageCollate
from .image_dataset import ImageDataset
from .mapper import ImageMapper

__all__ = [
    "ImageCollate",
    "ImageDataset",
    "ImageMapper",
    "imagenet_classes",
    "imagenet_v2_classes",
    "objectnet_classes",
]
