from eva_engine.data import dataset_root

from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_21k_1k_336px_psz14_ema_89p6.pt"]}

dataloader.test.dataset.root = f"{dataset_root()}/imagenet-sketch"
dataloader.test.repeat_to_multiple_of = 8
