from eva_engine.data import dataset_root
from projects.Classification.configs.common.models.eva_giant import model
from projects.Classification.configs.in1k_336 import dataloader, lr_multiplier, optimizer, train

# Matched frequency.
dataloader.test.dataset.update(
    root=f"{dataset_root()}/imagenetv2-matched-frequency-format-val", class_map="imagenet_v2"
)
dataloader.test.mapper.transform.interpolation = "bilinear"
