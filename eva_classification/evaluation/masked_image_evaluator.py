"""The loss of masked image modelling on validation images."""

from collections.abc import Mapping
from typing import Any

from detectron2.evaluation import DatasetEvaluator
from torch import Tensor

from eva_engine.training.distributed.gathering import gather_values


class MaskedImageEvaluator(DatasetEvaluator):
    """Average the losses per image that `MaskedImageModel` returns in evaluation mode."""

    metric_names = ("mim/loss",)

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Discard all losses."""
        self._sum = 0.0
        self._num_images = 0

    def process(self, inputs: Mapping[str, Any], outputs: Tensor) -> None:
        """Add the losses [B] of a batch of `EvalLoader`, except those of repeated images."""
        losses = outputs.detach().double().cpu()
        if "repeated" in inputs:
            losses = losses[~inputs["repeated"]]
        self._sum += float(losses.sum())
        self._num_images += len(losses)

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Return {"mim": {"loss": negative mean cosine}} over the images of all processes; NaN without images."""
        total, num_images = 0.0, 0
        for sum_of_rank, num_images_of_rank in gather_values((self._sum, self._num_images)):
            total += sum_of_rank
            num_images += num_images_of_rank
        return {"mim": {"loss": total / num_images if num_images else float("nan")}}
