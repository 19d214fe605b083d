"""Evaluation of an ImageNet classifier on the variants of ImageNet, and with corrected labels."""

from detectron2.config import LazyCall as L

from eva_classification.data import objectnet_classes
from eva_classification.evaluation import ObjectNetLabels, RealLabels
from eva_engine.data import dataset_root


def use_imagenet_a(dataloader):
    """Evaluate on ImageNet-A. Predictions are restricted to its 200 classes."""
    dataloader.test.dataset.update(root=f"{dataset_root()}/imagenet-a", class_map="imagenet_a")
    dataloader.evaluator.subset = "imagenet_a"


def use_imagenet_r(dataloader):
    """Evaluate on ImageNet-R. Predictions are restricted to its 200 classes."""
    dataloader.test.dataset.update(root=f"{dataset_root()}/imagenet-r", class_map="imagenet_r")
    dataloader.evaluator.subset = "imagenet_r"


def use_imagenet_sketch(dataloader):
    """Evaluate on ImageNet-Sketch."""
    dataloader.test.dataset.root = f"{dataset_root()}/imagenet-sketch"


def use_imagenet_v2(dataloader):
    """Evaluate on ImageNet-V2, the "matched frequency" version."""
    dataloader.test.dataset.update(
        root=f"{dataset_root()}/imagenetv2-matched-frequency-format-val", class_map="imagenet_v2"
    )


def use_real_labels(dataloader):
    """Evaluate on the validation images of ImageNet-1K, with their original file names, and the labels of ReaL."""
    # labels_file: null for the file in timm
    dataloader.evaluator.label_mapping = L(RealLabels)(labels_file=None)


def use_objectnet(dataloader):
    """Evaluate on the images of ObjectNet whose class ImageNet-1K has too; predictions are among all 1000 classes.

    "accuracy" accepts every class that names the object, "accuracy_published" only the first. The published numbers
    also kept the red border of two pixels: dataloader.test.mapper.border=0
    """
    root = f"{dataset_root()}/objectnet-1.0"
    dataloader.test.dataset.update(
        root=f"{root}/images", class_map=L(objectnet_classes)(root=root), on_unlisted_class="skip", num_classes=None
    )
    dataloader.test.mapper.border = 2
    dataloader.evaluator.label_mapping = L(ObjectNetLabels)(root=root)
    dataloader.evaluator.published_label_mapping = L(ObjectNetLabels)(root=root, first_only=True)
