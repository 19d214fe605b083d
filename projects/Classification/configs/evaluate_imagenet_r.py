from eva_engine.data import dataset_root

from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

dataloader.test.dataset.update(root=f"{dataset_root()}/imagenet-r", class_map="imagenet_r")
# Predictions are restricted to the 200 classes of the data set.
dataloader.evaluator.subset = "imagenet_r"
dataloader.test.repeat_to_multiple_of = 8
