"""Batches of tensors out of mapped images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from timm.data import Mixup

from eva_backbone.errors import InputError


class ImageCollate:
    """Stacks mapped images; for training it can mix them.

    Args:
        mixup: timm's mixup and CutMix, which makes class numbers to targets [B, K]; its random numbers come from
            `numpy.random`.
    """

    def __init__(self, mixup: Mixup | None = None) -> None:
        self.mixup = mixup

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """{"image": [B, 3, H, W], "label": class numbers [B] or mixed targets [B, K], "file_name": list}.

        Samples of `EvalLoader` also give "repeated", bool [B].

        Raises:
            InputError: an odd number of images to mix, or classes that the mixup does not know.
        """
        images = torch.from_numpy(np.stack([sample["image"] for sample in samples]))
        labels = torch.tensor([sample["label"] for sample in samples])
        names = [sample["file_name"] for sample in samples]
        if self.mixup is not None:
            _check(labels, self.mixup.num_classes)
            images, labels = self.mixup(images, labels)
        batch = {"image": images, "label": labels, "file_name": names}
        if "repeated" in samples[0]:
            batch["repeated"] = torch.tensor([sample["repeated"] for sample in samples])
        return batch


def _check(labels: torch.Tensor, num_classes: int) -> None:
    if len(labels) % 2:
        raise InputError(
            f"mixup and CutMix mix pairs, but each process gets {len(labels)} images; give an even "
            "dataloader.train.total_batch_size per process."
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise InputError(
            f"the mixup knows classes 0 to {num_classes - 1}, the data has {int(labels.max())}; give "
            "the mixup the num_classes of the data."
        )
