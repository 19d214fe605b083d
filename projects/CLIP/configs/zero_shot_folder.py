"""Zero-shot classification of your own images, in one folder per class: dataloader.test.dataset.root=FOLDER"""

from detectron2.config import LazyCall as L

from eva_clip.evaluation.class_sources import folder_names

from .zero_shot_in1k import dataloader, lr_multiplier, model, optimizer, train

dataloader.test.dataset.update(root="images", class_map=None)
# The folders' names. dataloader.test.class_names=names.txt: other names, one a line, in the order of the folders.
dataloader.test.class_names = L(folder_names)(dataset="${dataloader.test.dataset}")
dataloader.test.templates = "a photo of a {}."
