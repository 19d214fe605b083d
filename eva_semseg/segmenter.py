"""The segmentation model together with how it is evaluated."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from .head import Mask2FormerHead
from .inference import ViewInference
from .losses import SetLoss
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
        criterion: SetLoss | None = None,
        *,
        inference: ViewInference,
    ) -> None:
        super().__init__(backbone, decode_head, criterion)
        self.inference = inference

    def forward(  # type: ignore[override]  # lists are taken, and given back, beside what the model itself takes
        self, batch: Tensor | Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        """As `Mask2Former`'s; or for a list of images of `SegmentationTestMapper` [{"sem_seg": probabilities}, ...].

        Probabilities are [K, height, width] in float32, of the size of the original image.
        """
        if isinstance(batch, Tensor | Mapping):
            return super().forward(batch)
        device = self.decode_head.cls_embed.weight.device
        return [{"sem_seg": self.inference(self._window_scores, image, device)} for image in batch]

    def _window_scores(self, pixels: Tensor) -> Tensor:
        """Scores at a quarter of the resolution, where nothing has to be cut off."""
        if pixels.shape[2] % STRIDE or pixels.shape[3] % STRIDE:
            return self._scores(pixels)
        return semantic_scores(*self.decode_head.predict(self.backbone(pixels)))
