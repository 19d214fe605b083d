from eva_engine.data import dataset_root

from .zero_shot_in1k import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_clip_psz14.pt"]}

dataloader.test.dataset.root = f"{dataset_root()}/imagenet-sketch"
