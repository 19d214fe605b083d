from eva_engine.data import dataset_root

from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

# The "matched frequency" version.
dataloader.test.dataset.update(
    root=f"{dataset_root()}/imagenetv2-matched-frequency-format-val", class_map="imagenet_v2"
)
dataloader.test.mapper.transform.interpolation = "bilinear"
