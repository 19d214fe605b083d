"""Accumulate top-1 and top-5 accuracy and the loss over images."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import torch
from torch import Tensor


@dataclass
class AccuracyAccumulator:
    """Sums over the images scored so far; the accumulators of several processes can be added.

    Attributes:
        images: Number of images, including unreadable ones.
        top1: Number of images whose most likely class is correct.
        top5: Number of images with a correct class among the five most likely.
        loss: Sum of the losses of images with exactly one correct class.
        with_loss: Number of images in that sum.
        unreadable: Number of images that could not be read; they count as wrong.
        batch_losses: Sum of the mean losses of batches.
        batches: Number of batches in that sum.
    """

    images: int = 0
    top1: int = 0
    top5: int = 0
    loss: float = 0.0
    with_loss: int = 0
    unreadable: int = 0
    batch_losses: float = 0.0
    batches: int = 0

    def add(self, top: Sequence[int], correct: Sequence[int], losses: Tensor) -> None:
        """Add one image.

        Args:
            top: The five outputs of the model with the highest scores, best first; all outputs if there are fewer.
            correct: Outputs that are correct.
            losses: Negative log probability of each output, [K].
        """
        hits = [output in correct for output in top]
        self.images += 1
        self.top1 += hits[0]
        self.top5 += any(hits)
        if len(correct) == 1:
            self.loss += float(losses[correct[0]])
            self.with_loss += 1

    def add_unreadable(self) -> None:
        """Add an image that could not be read: it counts as wrong and has no loss."""
        self.images += 1
        self.unreadable += 1

    def end_batch(self) -> None:
        """Make the images added so far one batch; to be called once, on an accumulator of a single batch."""
        if self.with_loss:
            self.batch_losses = self.loss / self.with_loss
            self.batches = 1

    def __add__(self, other: "AccuracyAccumulator") -> "AccuracyAccumulator":
        sums = [a + b for a, b in zip(astuple(self), astuple(other), strict=True)]
        return AccuracyAccumulator(*sums)

    def metrics(self, mean_of_batches: bool = False) -> dict[str, float]:
        """Return accuracies in percent and the mean loss, which is omitted if images have several correct classes.

        Args:
            mean_of_batches: Weight all batches equally in the loss, also a smaller last one.
        """
        if not self.images:
            return {"top1": float("nan"), "top5": float("nan")}
        results = {"top1": 100 * self.top1 / self.images, "top5": 100 * self.top5 / self.images}
        if self.with_loss and self.with_loss + self.unreadable == self.images:
            if mean_of_batches:
                results["loss"] = self.batch_losses / self.batches
            else:
                results["loss"] = self.loss / self.with_loss
        return results


def top_outputs(logits: Tensor, count: int = 5) -> list[list[int]]:
    """Return the indices of the `count` highest logits of each row of [B, K], best first; all K if there are fewer."""
    return torch.topk(logits, min(count, logits.shape[1]), dim=1).indices.tolist()
