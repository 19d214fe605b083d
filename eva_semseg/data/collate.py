"""Batches of tensors out of mapped images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, from_numpy


def stack_samples(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """{"image": [B, 3, H, W] float32, "label": [B, H, W] int64, "file_name": list} out of mapped images."""
    images: Tensor = from_numpy(np.stack([sample["image"] for sample in samples]))
    labels = from_numpy(np.stack([sample["label"] for sample in samples])).long()
    return {"image": images, "label": labels, "file_name": [sample["file_name"] for sample in samples]}
