from detectron2.config import LazyCall as L
from eva_clip.evaluation.class_sources import objectnet_names

from eva_classification.data import objectnet_classes
from eva_engine.data import dataset_root

from .zero_shot_in1k import dataloader, lr_multiplier, model, optimizer, train

# The 113 classes that ImageNet-1K has too, under ObjectNet's own names. The published number left the images' red
# border of two pixels in place; dataloader.test.mapper.border=2 cuts it off.
ROOT = f"{dataset_root()}/objectnet-1.0"
dataloader.test.dataset.update(root=f"{ROOT}/images", class_map=L(objectnet_classes)(root=ROOT), unlisted="leave_out")
dataloader.test.mapper.border = 0
dataloader.test.class_names = L(objectnet_names)(root=ROOT)
