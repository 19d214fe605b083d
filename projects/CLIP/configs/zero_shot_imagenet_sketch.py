from eva_engine.data import dataset_root
from projects.CLIP.configs.eva_clip_g14 import lr_multiplier, model, optimizer, train
from projects.CLIP.configs.zero_shot_in1k import dataloader

dataloader.test.dataset.root = f"{dataset_root()}/imagenet-sketch"
