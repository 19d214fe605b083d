"""Batches of tensors out of mapped pairs."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

logger = logging.getLogger(__name__)


class PairCollate:
    """Stacks mapped pairs, and counts the texts that were too long for the model.

    The first of them is named; the number is logged each time it has grown tenfold.

    Attributes:
        num_texts: texts that this process has stacked.
        num_cut: how many of them were cut.
    """

    def __init__(self) -> None:
        self.num_texts = self.num_cut = 0
        self._next_report = 1

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """{"image": [B, 3, H, W], "text": token ids [B, L], "file_name": list}."""
        texts = torch.from_numpy(np.stack([sample["text"] for sample in samples]))
        self._count([sample["file_name"] for sample in samples if sample["is_cut"]], *texts.shape)
        return {
            "image": torch.from_numpy(np.stack([sample["image"] for sample in samples])),
            "text": texts,
            "file_name": [sample["file_name"] for sample in samples],
        }

    def _count(self, cut: list[str], num_texts: int, length: int) -> None:
        self.num_texts += num_texts
        self.num_cut += len(cut)
        if cut and self.num_cut >= self._next_report:
            logger.warning(
                "%d of %d texts so far in this process had more than %d tokens with start and end, and were cut; the "
                "last one is that of %s",
                self.num_cut,
                self.num_texts,
                length,
                cut[-1],
            )
            while self._next_report <= self.num_cut:
                self._next_report *= 10
