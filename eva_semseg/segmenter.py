"""What all segmentation models have in common: losses of batches in training, and scores of images of any size."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.backbone_delegate import BackboneDelegate
from eva_backbone.errors import InputError
from eva_engine.finite_outputs import finite_outputs

from .feature_maps import FINEST
from .inference import ViewInference
from .segmentation_targets import check_labels
from .sliding_windows import SlidingWindows

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


class Segmenter(BackboneDelegate, nn.Module):
    """Predicts class scores for every pixel, or in training computes losses; the models differ in their heads.

    A model is a subclass with `_losses` and `_class_scores`. Its head has `num_classes` and `reset_classifier`.

    Args:
        backbone: Computes maps "res2" to "res5" at strides 4 to 32 from pixels [B, 3, H, W]; it pads images of other
            sizes than its own at the bottom and right.
        decode_head: Predicts from these maps.
        inference: Sliding windows and normalisation for test images, and the mean over their views; by default the
            image at once, normalised as in ImageNet.
    """

    def __init__(self, backbone: nn.Module, decode_head: nn.Module, inference: ViewInference | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.decode_head: Any = decode_head
        self.inference = inference or ViewInference(SlidingWindows(size=None), IMAGENET_MEAN, IMAGENET_STD)

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the layer that predicts the classes with a new one for `num_classes` classes."""
        self.decode_head.reset_classifier(num_classes)

    @property
    def num_classes(self) -> int:
        """Number of classes, K."""
        return self.decode_head.num_classes

    def _losses(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the losses, which are added up.

        Args:
            features: The maps of the backbone.
            labels: Class indices [B, H, W] at the size of the pixels before padding, 255 for unlabelled ones.
        """
        raise NotImplementedError

    def _class_scores(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return the class scores of the padded pixels at stride 4, [B, K, H' / 4, W' / 4]."""
        raise NotImplementedError

    def forward(
        self, batch: Tensor | Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> Tensor | dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return scores [B, K, H, W] in float32, the losses in training, or the probabilities of test images.

        Args:
            batch: Normalised pixels [B, 3, H, W] of any size, for scores; or {"image": pixels, "label": class indices
                [B, H, W], 255 for unlabelled pixels}, for the losses in training, and for scores in evaluation, which
                does not need the labels; or a list of images from `EvaluationMapper`. Pixels may be of any
                floating-point type; tensors may be on any device.

        Returns:
            For a list, [{"sem_seg": probabilities}, ...] with probabilities [K, height, width] in float32, at the size
            of the original image.

        Raises:
            InputError: Labels whose size is not that of the pixels or, for labels on the CPU, values outside the
                model's classes; the scores of an image of the list are not finite.
        """
        if not isinstance(batch, Tensor | Mapping):
            return [{"sem_seg": self.inference(self._window_scores, image, self._device)} for image in batch]
        pixels = batch if isinstance(batch, Tensor) else batch["image"]
        if self.training and not isinstance(batch, Tensor):
            labels = batch["label"]
            self._check_labels(labels, pixels)
            return self._losses(self.backbone(pixels), labels.to(self._device, non_blocking=True))
        return self._scores(pixels)

    def predict_labels(self, image: Mapping[str, Any]) -> Tensor:
        """Return the most likely class of each pixel, uint8 [height, width], for an image from `EvaluationMapper`.

        This needs less memory than the probabilities of all classes.

        Raises:
            InputError: The scores are not finite.
        """
        return self.inference.predict_labels(self._window_scores, image, self._device)

    @property
    def _device(self) -> torch.device:
        return next(self.decode_head.parameters()).device

    def _check_labels(self, labels: Tensor, pixels: Tensor) -> None:
        if labels.shape != (len(pixels), *pixels.shape[2:]):
            raise InputError(
                f"the label maps have shape {list(labels.shape)}, the images {list(pixels.shape)}: give label maps "
                "[images, height, width] of the same size as the images."
            )
        if labels.device.type == "cpu":
            check_labels(labels, self.num_classes)

    def _scores(self, pixels: Tensor) -> Tensor:
        return resize_to_pixels(self._class_scores(self.backbone(pixels)), pixels.shape[2], pixels.shape[3])

    def _window_scores(self, pixels: Tensor) -> Tensor:
        """Return scores at a quarter of the resolution; if the backbone has padded the image, at full resolution.

        `SlidingWindows` resizes them itself. Only where the image was padded, scores have to be resized here, because
        the padding is cut off at full resolution.
        """
        scores = self._class_scores(self.backbone(pixels))
        height, width = pixels.shape[2:]
        if (FINEST * scores.shape[2], FINEST * scores.shape[3]) != (height, width):
            scores = resize_to_pixels(scores, height, width)
        return finite_outputs(scores, "scores")


def resize_to_pixels(scores: Tensor, height: int, width: int, stride: int = FINEST) -> Tensor:
    """Resize scores of the padded image at `stride` to its pixels bilinearly and cut the padding off.

    Returns:
        [B, K, height, width]
    """
    padded = (stride * scores.shape[2], stride * scores.shape[3])
    return F.interpolate(scores, size=padded, mode="bilinear", align_corners=False)[..., :height, :width]
