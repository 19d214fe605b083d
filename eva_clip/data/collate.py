"""Collate function of image-text pairs."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

logger = logging.getLogger(__name__)


class PairCollate:
    """Stack mapped pairs to a batch, and count the texts that were cut because they were too long for the model.

    A warning with the counts and the file name of a cut text is logged at the first cut text, and again each time the
    count has grown tenfold.

    Attributes:
        num_texts: Number of texts that this process has collated.
        num_cut: Number of them that were cut.
    """

    def __init__(self) -> None:
        self.num_texts = self.num_cut = 0
        self._next_report = 1

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Collate samples of `TrainingMapper`.

        Returns:
            {"image": float32 [B, 3, H, W], "text": token ids [B, L] int64, "file_name": list of B names}.
        """
        texts = torch.from_numpy(np.stack([sample["text"] for sample in samples]))
        num_texts, length = texts.shape
        self._count([sample["file_name"] for sample in samples if sample["is_cut"]], num_texts, length)
        return {
            "image": torch.from_numpy(np.stack([sample["image"] for sample in samples])),
            "text": texts,
            "file_name": [sample["file_name"] for sample in samples],
        }

    def _count(self, cut_files: list[str], num_texts: int, length: int) -> None:
        self.num_texts += num_texts
        self.num_cut += len(cut_files)
        if cut_files and self.num_cut >= self._next_report:
            logger.warning(
                "%d of %d texts so far in this process had more than %d tokens, start and end included, and were cut; "
                "the last one belongs to %s",
                self.num_cut,
                self.num_texts,
                length,
                cut_files[-1],
            )
            while self._next_report <= self.num_cut:
                self._next_report *= 10
