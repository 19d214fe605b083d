"""The segmentation model together with its test-time inference."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eva_engine.finite_outputs import finite_outputs

from .head import Mask2FormerHead
from .inference import ViewInference
from .losses import SetCriterion
from .mask2former import STRIDE, Mask2Former, semantic_scores


class Segmenter(Mask2Former):
    """A `Mask2Former` that also segments lists of test images of any size.

    Args:
        backbone, decode_head, criterion: See `Mask2Former`.
        inference: Sliding windows and normalisation for test images, and the mean over their views.
    """

    def __init__(
        self,
        backbone: nn.Module,
        decode_head: Mask2FormerHead,
        criterion: SetCriterion | None = None,
        *,
        inference: ViewInference,
    ) -> None:
        super().__init__(backbone, decode_head, criterion)
        self.inference = inference

    def forward(  # type: ignore[override]  # accepts and returns lists in addition to what Mask2Former does
        self, batch: Tensor | Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        """Segment a list of images from `EvaluationMapper`; other batches are handled by `Mask2Former.forward`.

        Returns:
            For a list, [{"sem_seg": probabilities}, ...] with probabilities [K, height, width] in float32, at the size
            of the original image.

        Raises:
            InputError: The scores of an image of the list are not finite.
        """
        if isinstance(batch, Tensor | Mapping):
            return super().forward(batch)
        return [{"sem_seg": self.inference(self._window_scores, image, self._device)} for image in batch]

    def predict_labels(self, image: Mapping[str, Any]) -> Tensor:
        """Return the most likely class of each pixel, uint8 [height, width], for an image from `EvaluationMapper`.

        This needs less memory than the probabilities of all classes.

        Raises:
            InputError: The scores are not finite.
        """
        return self.inference.predict_labels(self._window_scores, image, self._device)

    @property
    def _device(self) -> torch.device:
        return self.decode_head.cls_embed.weight.device

    def _window_scores(self, pixels: Tensor) -> Tensor:
        """Return scores at a quarter of the resolution if the sides are multiples of 32, else at full resolution.

        `SlidingWindows` resizes them itself. Only where the backbone has padded the image, scores have to be resized
        here, because the padding is cut off at full resolution.
        """
        if pixels.shape[2] % STRIDE or pixels.shape[3] % STRIDE:
            scores = self._scores(pixels)
        else:
            scores = semantic_scores(*self.decode_head.predict(self.backbone(pixels)))
        return finite_outputs(scores, "scores")
