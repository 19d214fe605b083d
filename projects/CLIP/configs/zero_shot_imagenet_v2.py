from eva_engine.data import dataset_root

from .zero_shot_in1k import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_clip_psz14.pt"]}

# The "matched frequency" variant.
dataloader.test.dataset.update(
    root=f"{dataset_root()}/imagenetv2-matched-frequency-format-val", class_map="imagenet_v2"
)
