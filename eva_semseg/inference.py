"""Class probabilities of an image, from one view of it or the mean of several (sizes, mirrored)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .sliding_windows import Score, SlidingWindows, WindowScores

# Of a map of all classes, that exist at once: 128 MB in float32.
VALUES_AT_ONCE = 2**25


def view_probabilities(
    scores: WindowScores, first: int = 0, last: int | None = None, *, flipped: bool = False
) -> Tensor:
    """Probabilities [B, K, rows, W] of rows of one view, at the size of the original image and not mirrored.

    The softmax comes behind the resize and runs over scores that are sums of products of probabilities already. It
    changes no single view's prediction, but what an average of views predicts, and the published numbers have it.

    Args:
        scores: of the view, which was mirrored first and padded at the right and bottom afterwards.
        first, last: from which row, and up to which without it; by default all.
        flipped: whether the view is mirrored left to right.
    """
    probabilities = scores.rows(first, last).softmax(dim=1)
    return probabilities.flip(3) if flipped else probabilities


class ViewInference:
    """Mean probabilities over the views that `EvaluationMapper` makes of an image.

    An image is taken as {"views": [{"pixels": uint8 RGB [3, h, w], "content": (h, w), "flipped": bool}, ...], "height",
    "width"}, the last two of the original.

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
            image: with its views.
        """
        result = torch.empty(0, device=device)
        for first, strip in self._strips(score, image, device):
            if first == 0:
                result = strip.new_empty(len(strip), image["height"], image["width"])
            result[:, first : first + strip.shape[1]] = strip
        return result

    def most_likely(self, score: Score, image: Mapping[str, Any], device: torch.device) -> Tensor:
        """The most likely class of each pixel, uint8 [height, width]; the arguments are those of a call.

        Memory does not grow with the number of classes times that of pixels.
        """
        strips = [strip.argmax(dim=0).to(torch.uint8) for _, strip in self._strips(score, image, device)]
        return torch.cat(strips)

    def _strips(self, score: Score, image: Mapping[str, Any], device: torch.device) -> Iterator[tuple[int, Tensor]]:
        """(first row, probabilities [K, rows, width]) from the top to the bottom."""
        height, width = image["height"], image["width"]
        views = [(self._scores(score, view, (height, width), device), view["flipped"]) for view in image["views"]]
        step = max(VALUES_AT_ONCE // (views[0][0].num_classes * width), 1)
        for first in range(0, height, step):
            rows = first, min(first + step, height)
            total = view_probabilities(views[0][0], *rows, flipped=views[0][1])
            for scores, flipped in views[1:]:
                total += view_probabilities(scores, *rows, flipped=flipped)
            yield first, total[0].div_(len(views))

    def _scores(
        self, score: Score, view: Mapping[str, Any], size: tuple[int, int], device: torch.device
    ) -> WindowScores:
        pixels = view["pixels"].to(device)[None].float()
        pixels = (pixels - self.pixel_mean.to(device)) / self.pixel_std.to(device)
        return self.windows(score, pixels, content=view["content"], output_size=size)
