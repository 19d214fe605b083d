from eva_engine.data import dataset_root
from projects.Classification.configs.common.models.eva_giant import model
from projects.Classification.configs.in1k_336 import dataloader, lr_multiplier, optimizer, train

dataloader.test.dataset.update(root=f"{dataset_root()}/imagenet-r", class_map="imagenet_r")
# Only the 200 classes of the set can be predicted.
dataloader.evaluator.subset = "imagenet_r"
dataloader.test.repeat_to_multiple_of = 8
