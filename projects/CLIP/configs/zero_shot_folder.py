"""Zero-shot classification of your own images, in one folder per class: dataloader.test.dataset.root=FOLDER"""

from .zero_shot_in1k import dataloader, lr_multiplier, model, optimizer, train

dataloader.test.dataset.update(root="images", class_map=None)
dataloader.apply_exif_orientation = True
# The folder names; or a text file with other names, one per line, in the order of the folders.
dataloader.test.class_names = "folders"
dataloader.test.templates = "a photo of a {}."
