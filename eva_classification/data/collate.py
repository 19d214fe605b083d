"""Collate mapped images into batches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from timm.data import Mixup

from eva_backbone.errors import InputError


class ImageCollate:
    """Stack mapped images; optionally mix them for training.

    Args:
        mixup: timm's mixup and CutMix, which turns class indices into soft labels [B, K]. It draws from `numpy.random`.
    """

    def __init__(self, mixup: Mixup | None = None) -> None:
        self.mixup = mixup

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return {"image": [B, 3, H, W], "label": class indices [B] or soft labels [B, K], "file_name": list}.

        Samples of `EvalLoader` also have "repeated", bool [B].

        Raises:
            InputError: The number of images to mix is odd, or a label is not below the `num_classes` of the mixup.
        """
        images = torch.from_numpy(np.stack([sample["image"] for sample in samples]))
        labels = torch.tensor([sample["label"] for sample in samples])
        names = [sample["file_name"] for sample in samples]
        if self.mixup is not None:
            _check_for_mixup(labels, self.mixup.num_classes)
            images, labels = self.mixup(images, labels)
        batch = {"image": images, "label": labels, "file_name": names}
        if "repeated" in samples[0]:
            batch["repeated"] = torch.tensor([sample["repeated"] for sample in samples])
        return batch


def _check_for_mixup(labels: torch.Tensor, num_classes: int) -> None:
    if len(labels) % 2:
        raise InputError(
            f"mixup and CutMix need an even number of images, but each process gets {len(labels)}; choose "
            "dataloader.train.total_batch_size so that it is even in every process."
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise InputError(
            f"the mixup has classes 0 to {num_classes - 1}, but the data has class {int(labels.max())}; set the "
            "mixup's num_classes to that of the data."
        )
