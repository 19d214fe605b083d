"""Collating mapped images to batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch


class SegmentationCollate:
    """Stacks the images and the label maps of a batch."""

    def __call__(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return {"image": [B, 3, H, W] float32, "label": [B, H, W] int64, "file_name": list of B names}."""
        images = torch.from_numpy(np.stack([sample["image"] for sample in samples]))
        labels = torch.from_numpy(np.stack([sample["label"] for sample in samples])).long()
        return {"image": images, "label": labels, "file_name": [sample["file_name"] for sample in samples]}
