from eva_engine.data import dataset_root

from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_21k_1k_336px_psz14_ema_89p6.pt"]}

# The "matched frequency" version.
dataloader.test.dataset.update(
    root=f"{dataset_root()}/imagenetv2-matched-frequency-format-val", class_map="imagenet_v2"
)
dataloader.test.mapper.transform.interpolation = "bilinear"
