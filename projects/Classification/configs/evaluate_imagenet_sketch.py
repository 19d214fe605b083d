from eva_engine.data import dataset_root
from projects.Classification.configs.common.models.eva_giant import model
from projects.Classification.configs.in1k_336 import dataloader, lr_multiplier, optimizer, train

dataloader.test.dataset.root = f"{dataset_root()}/imagenet-sketch"
dataloader.test.repeat_to_multiple_of = 8
