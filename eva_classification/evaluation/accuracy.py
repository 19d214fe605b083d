"""Counts of right predictions, on the way to accuracies."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import torch
from torch import Tensor


@dataclass
class AccuracyAccumulator:
    """Sums over the images scored so far."""

    images: int = 0
    top1: int = 0
    top5: int = 0
    loss: float = 0.0
    with_loss: int = 0
    unreadable: int = 0
    batch_losses: float = 0.0
    batches: int = 0

    def add(self, best: Sequence[int], right: Sequence[int], losses: Tensor) -> None:
        """Count one image.

        Args:
            best: outputs of the model that it ranks highest, five of them or all there are.
            right: outputs that are right.
            losses: minus the logarithm of each output's probability, [K].
        """
        hits = [output in right for output in best]
        self.images += 1
        self.top1 += hits[0]
        self.top5 += any(hits)
        if len(right) == 1:
            self.loss += float(losses[right[0]])
            self.with_loss += 1

    def add_unreadable(self) -> None:
        """Count an image that the model has not seen: as wrong and without a loss."""
        self.images += 1
        self.unreadable += 1

    def end_batch(self) -> None:
        """What was counted so far is one batch."""
        if self.with_loss:
            self.batch_losses, self.batches = self.loss / self.with_loss, 1

    def __add__(self, other: "AccuracyAccumulator") -> "AccuracyAccumulator":
        return AccuracyAccumulator(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))

    def metrics(self, mean_of_batches: bool = False) -> dict[str, float]:
        """Accuracies in percent and the mean loss, which is left out where an image has several right classes.

        Args:
            mean_of_batches: every batch has the same weight in the loss, the last and smaller one too.
        """
        if not self.images:
            return {"top1": float("nan"), "top5": float("nan")}
        found = {"top1": 100 * self.top1 / self.images, "top5": 100 * self.top5 / self.images}
        if self.with_loss and self.with_loss + self.unreadable == self.images:
            total, count = (self.batch_losses, self.batches) if mean_of_batches else (self.loss, self.with_loss)
            found["loss"] = total / count
        return found


def top_outputs(logits: Tensor, count: int = 5) -> list[list[int]]:
    """The outputs with the highest logits [B, K] for each image, best first."""
    return torch.topk(logits, min(count, logits.shape[1]), dim=1).indices.tolist()
