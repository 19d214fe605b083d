from eva_engine.data import dataset_root
from projects.CLIP.configs.eva_clip_g14 import lr_multiplier, model, optimizer, train
from projects.CLIP.configs.zero_shot_in1k import dataloader

# Matched frequency.
dataloader.test.dataset.update(
    root=f"{dataset_root()}/imagenetv2-matched-frequency-format-val", class_map="imagenet_v2"
)
