"""Collate mapped videos into training batches."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from eva_backbone.errors import InputError

from .mixing import ClipMixing


class VideoCollate:
    """Stack the clips of a training batch and optionally mix them.

    Args:
        mixing: Mixup and CutMix, which turn class indices into targets [B, K].

    Attributes:
        clips_per_sample: Number of clips in the batch for each sample given; the memory planner reads it.
    """

    clips_per_sample: ClassVar[int] = 1

    def __init__(self, mixing: ClipMixing | None = None) -> None:
        self.mixing = mixing

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return {"video": [B, 3, T, H, W], "label": class indices [B] or targets [B, K], "file_name": list}.

        Raises:
            InputError: The data has classes beyond the num_classes of the mixing.
        """
        videos = torch.from_numpy(np.stack([sample["video"] for sample in samples]))
        labels = torch.tensor([sample["label"] for sample in samples])
        if self.mixing is not None:
            if not 0 <= int(labels.min()) <= int(labels.max()) < self.mixing.num_classes:
                raise InputError(
                    f"the mixing has classes 0 to {self.mixing.num_classes - 1}, the data has {int(labels.max())}; "
                    "set num_classes of the mixing to that of the data."
                )
            videos, labels = self.mixing(videos, labels)
        return {"video": videos, "label": labels, "file_name": [sample["file_name"] for sample in samples]}
