"""The loss of masked image modelling on images that are not trained on."""

from collections.abc import Mapping
from typing import Any

from detectron2.evaluation import DatasetEvaluator
from torch import Tensor

from eva_engine.training.distributed.gathering import gather_values


class MaskedImageEvaluator(DatasetEvaluator):
    """The mean over images of what `MaskedImageModel` returns in evaluation, one loss per image."""

    metric_names = ("mim/loss",)

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self._sum, self._num_images = 0.0, 0

    def process(self, inputs: Mapping[str, Any], outputs: Tensor) -> None:
        """Add the losses `outputs` [B] of a batch of `EvalLoader`, repetitions left out."""
        counted = ~inputs["repeated"] if "repeated" in inputs else slice(None)
        losses = outputs.detach().double().cpu()[counted]
        self._sum += float(losses.sum())
        self._num_images += len(losses)

    def evaluate(self) -> dict[str, dict[str, float]]:
        """{"mim": {"loss": minus the mean cosine}}."""
        sums, counts = zip(*gather_values((self._sum, self._num_images)), strict=True)
        return {"mim": {"loss": sum(sums) / sum(counts) if sum(counts) else float("nan")}}
