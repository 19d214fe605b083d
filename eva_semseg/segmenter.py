"""The segmentation model together with how it is evaluated."""

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
    """`Mask2Former` that also takes test images, of any size.

    Args:
        backbone, decode_head, criterion: as `Mask2Former`'s.
        inference: views, windows and normalisation of test images.
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

    def forward(  # type: ignore[override]  # lists are taken, and given back, beside what the model itself takes
        self, batch: Tensor | Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        """As `Mask2Former`'s; or for a list of images of `EvaluationMapper` [{"sem_seg": probabilities}, ...].

        Probabilities are [K, height, width] in float32, of the size of the original image.

        Raises:
            InputError: scores of such images that are no finite numbers.
        """
        if isinstance(batch, Tensor | Mapping):
            return super().forward(batch)
        return [{"sem_seg": self.inference(self._window_scores, image, self._device)} for image in batch]

    def most_likely(self, image: Mapping[str, Any]) -> Tensor:
        """The most likely class of each pixel, uint8 [height, width], of an image of `EvaluationMapper`.

        It needs less memory than the probabilities of all classes.

        Raises:
            InputError: scores that are no finite numbers.
        """
        return self.inference.most_likely(self._window_scores, image, self._device)

    @property
    def _device(self) -> torch.device:
        return self.decode_head.cls_embed.weight.device

    def _window_scores(self, pixels: Tensor) -> Tensor:
        """Scores at a quarter of the resolution, where nothing has to be cut off."""
        if pixels.shape[2] % STRIDE or pixels.shape[3] % STRIDE:
            scores = self._scores(pixels)
        else:
            scores = semantic_scores(*self.decode_head.predict(self.backbone(pixels)))
        return finite_outputs(scores, "scores")
