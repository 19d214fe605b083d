"""Batches of tensors out of mapped videos."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from eva_backbone.errors import InputError

from .mixing import ClipMixing


class VideoCollate:
    """Stacks the clips of a training batch, and can mix them.

    Args:
        mixing: mixup and CutMix, which make class numbers to targets [B, K].
    """

    def __init__(self, mixing: ClipMixing | None = None) -> None:
        self.mixing = mixing

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """{"video": [B, 3, T, H, W], "label": class numbers [B] or mixed targets [B, K], "file_name": list}.

        Raises:
            InputError: classes that the mixing does not know.
        """
        videos = torch.from_numpy(np.stack([sample["video"] for sample in samples]))
        labels = torch.tensor([sample["label"] for sample in samples])
        if self.mixing is not None:
            if not 0 <= int(labels.min()) <= int(labels.max()) < self.mixing.num_classes:
                raise InputError(
                    f"the mixing knows classes 0 to {self.mixing.num_classes - 1}, the data has {int(labels.max())}; "
                    "give the mixing the num_classes of the data."
                )
            videos, labels = self.mixing(videos, labels)
        return {"video": videos, "label": labels, "file_name": [sample["file_name"] for sample in samples]}
