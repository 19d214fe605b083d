from eva_engine.data import dataset_root

from .zero_shot_in1k import dataloader, lr_multiplier, model, optimizer, train

dataloader.test.dataset.root = f"{dataset_root()}/imagenet-sketch"
