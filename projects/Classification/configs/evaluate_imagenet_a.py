from eva_engine.data import dataset_root

from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_21k_1k_336px_psz14_ema_89p6.pt"]}

dataloader.test.dataset.update(root=f"{dataset_root()}/imagenet-a", class_map="imagenet_a")
# Predictions are restricted to the 200 classes of the dataset.
dataloader.evaluator.subset = "imagenet_a"
dataloader.test.repeat_to_multiple_of = 8
