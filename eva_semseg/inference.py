"""Class probabilities of an image, from one view of it or the mean of several (sizes, mirrored)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .sliding_windows import Score, SlidingWindows


def view_probabilities(
    score: Score,
    pixels: Tensor,
    windows: SlidingWindows,
    *,
    content: tuple[int, int],
    output_size: tuple[int, int],
    flipped: bool = False,
) -> Tensor:
    """Probabilities [B, K, H, W] of one view, at the size of the original image and not mirrored.

    The softmax comes behind the resize and runs over scores that are sums of products of probabilities already. It
    changes no single view's prediction, but what an average of views predicts, and the published numbers have it.

    Args:
        pixels: normalised [B, 3, h, w]; mirrored first, padded at the right and bottom afterwards.
        content: (height, width) without the padding.
        output_size: (H, W) of the original image.
        flipped: whether the view is mirrored left to right.
    """
    scores = windows(score, pixels, content=content, output_size=output_size)
    probabilities = scores.softmax(dim=1)
    return probabilities.flip(3) if flipped else probabilities


class ViewInference:
    """Mean probabilities over the views that `SegmentationTestMapper` makes of an image.

    Args:
        windows: how the model sees a view.
        pixel_mean, pixel_std: of RGB values 0..255; padding is normalised like pixels.
    """

    def __init__(self, windows: SlidingWindows, pixel_mean: Sequence[float], pixel_std: Sequence[float]) -> None:
        self.windows = windows
        self.pixel_mean = torch.tensor(list(pixel_mean)).view(1, 3, 1, 1)
        self.pixel_std = torch.tensor(list(pixel_std)).view(1, 3, 1, 1)

    def __call__(self, score: Score, image: Mapping[str, Any], device: torch.device) -> Tensor:
        """Probabilities [K, height, width] of one image.

        Args:
            score: the model, in evaluation mode.
            image: "views", a list of {"pixels": uint8 RGB [3, h, w], "content": (h, w), "flipped": bool}, and the
                original "height" and "width".
        """
        size = image["height"], image["width"]
        first, *others = image["views"]
        total = self._of_view(score, first, size, device)
        for view in others:
            total.add_(self._of_view(score, view, size, device))
        return total[0] / len(image["views"])

    def _of_view(self, score: Score, view: Mapping[str, Any], size: tuple[int, int], device: torch.device) -> Tensor:
        """[1, K, *size]."""
        pixels = view["pixels"].to(device)[None].float()
        pixels = (pixels - self.pixel_mean.to(device)) / self.pixel_std.to(device)
        return view_probabilities(
            score, pixels, self.windows, content=view["content"], output_size=size, flipped=view["flipped"]
        )
