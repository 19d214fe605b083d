"""Class weights of the federated loss: which negative classes of a long-tailed data set are sampled, and how often."""

import torch
from detectron2.data.datasets.lvis_v1_category_image_count import LVIS_CATEGORY_IMAGE_COUNT


def lvis_v1_federated_weights(power: float = 0.5) -> torch.Tensor:
    """[1203] weights of the LVIS v1 classes in order of category id: number of training images to the `power`.

    Pass it to `FastRCNNOutputLayers(get_fed_loss_cls_weights=...)`, itself or, in a LazyConfig, as
    `L(lvis_v1_federated_weights)(power=0.5)`. Source: Zhou et al., "Probabilistic two-stage detection", 2021.
    """
    counts = [entry["image_count"] for entry in sorted(LVIS_CATEGORY_IMAGE_COUNT, key=lambda entry: entry["id"])]
    return torch.tensor(counts, dtype=torch.float32) ** power
