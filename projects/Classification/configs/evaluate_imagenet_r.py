from detectron2.config import LazyCall as L

from detectron2_ext.data import dataset_root
from eva_classification.data import imagenet_classes

from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

dataloader.test.dataset.update(root=f"{dataset_root()}/imagenet-r", class_map=L(imagenet_classes)(subset="imagenet_r"))
# Only the 200 classes of the set can be predicted.
dataloader.evaluator.subset = "imagenet_r"
dataloader.test.repeat_to_multiple_of = 8
