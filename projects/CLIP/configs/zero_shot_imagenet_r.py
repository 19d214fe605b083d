from eva_classification.data import imagenet_classes
from eva_engine.data import dataset_root

from .zero_shot_in1k import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_clip_psz14.pt"]}

# The 200 classes of the dataset are numbered from 0 to 199.
dataloader.test.dataset.update(
    root=f"{dataset_root()}/imagenet-r",
    class_map={name: number for number, name in enumerate(imagenet_classes("imagenet_r"))},
)
dataloader.test.class_names = "imagenet_r"
