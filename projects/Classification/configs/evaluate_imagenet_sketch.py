from eva_engine.data import dataset_root

from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

dataloader.test.dataset.root = f"{dataset_root()}/imagenet-sketch"
dataloader.test.repeat_to_multiple_of = 8
