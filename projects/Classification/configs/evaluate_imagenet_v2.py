from detectron2.config import LazyCall as L

from detectron2_ext.data import dataset_root
from eva_classification.data import imagenet_v2_classes

from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

# Matched frequency.
dataloader.test.dataset.update(
    root=f"{dataset_root()}/imagenetv2-matched-frequency-format-val", class_map=L(imagenet_v2_classes)()
)
dataloader.test.mapper.transform.interpolation = "bilinear"
