"""Class probabilities of a test image: of a single view, or the mean over several views (scales, flips)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .sliding_windows import Score, SlidingWindows, WindowScores

# Upper limit for the elements of a map of all classes: 128 MB in float32. Larger maps are computed in strips of rows.
MAX_STRIP_ELEMENTS = 2**25


def view_probabilities(
    scores: WindowScores, start: int = 0, stop: int | None = None, *, flipped: bool = False
) -> Tensor:
    """Return the probabilities [B, K, rows, W] of some rows of one view, at the size of the original image, unflipped.

    The softmax follows the resize. Mask2Former's scores are sums of products of probabilities already, not logits: the
    softmax does not change the predicted class of a single view, but it changes the mean over views, and the published
    numbers were measured with it.

    Args:
        scores: Scores of the view, whose image was flipped first and padded at the right and bottom afterwards.
        start, stop: First row, and the row after the last one; by default all rows.
        flipped: Whether the view is flipped left to right.
    """
    probabilities = scores.rows(start, stop).softmax(dim=1)
    return probabilities.flip(3) if flipped else probabilities


class ViewInference:
    """Compute the mean probabilities over the views of an image that `EvaluationMapper` made.

    An image is a dict {"views": [{"pixels": uint8 RGB [3, h, w], "content": (h, w), "flipped": bool}, ...], "height",
    "width"}. Height and width are those of the original image, "content" is the size of a view without padding.

    Args:
        windows: Sliding windows over each view.
        pixel_mean, pixel_std: Of RGB values 0 to 255; padding is normalised like pixels.
    """

    def __init__(self, windows: SlidingWindows, pixel_mean: Sequence[float], pixel_std: Sequence[float]) -> None:
        self.windows = windows
        self.pixel_mean = torch.tensor(list(pixel_mean)).view(1, 3, 1, 1)
        self.pixel_std = torch.tensor(list(pixel_std)).view(1, 3, 1, 1)

    def __call__(self, score: Score, image: Mapping[str, Any], device: torch.device) -> Tensor:
        """Return the probabilities [K, height, width] of one image.

        Args:
            score: Function from normalised pixels to class scores, that of a model in evaluation mode.
            image: The image with its views.
            device: Device of the computation and of the result.
        """
        result = torch.empty(0, device=device)
        for first, strip in self._strips(score, image, device):
            if first == 0:
                result = strip.new_empty(len(strip), image["height"], image["width"])
            result[:, first : first + strip.shape[1]] = strip
        return result

    def predict_labels(self, score: Score, image: Mapping[str, Any], device: torch.device) -> Tensor:
        """Return the most likely class of each pixel, uint8 [height, width]; arguments are those of a call.

        Probabilities of all classes exist only for a strip of rows at a time.
        """
        strips = [strip.argmax(dim=0).to(torch.uint8) for _, strip in self._strips(score, image, device)]
        return torch.cat(strips)

    def _strips(self, score: Score, image: Mapping[str, Any], device: torch.device) -> Iterator[tuple[int, Tensor]]:
        """Yield (first row, mean probabilities [K, rows, width]) from top to bottom."""
        height, width = image["height"], image["width"]
        # The scores of all windows are kept at the model's resolution, so that the model runs only once per window.
        views = [(self._scores(score, view, (height, width), device), view["flipped"]) for view in image["views"]]
        num_classes = views[0][0].num_classes
        rows_per_strip = max(MAX_STRIP_ELEMENTS // (num_classes * width), 1)
        for first in range(0, height, rows_per_strip):
            last = min(first + rows_per_strip, height)
            total = view_probabilities(views[0][0], first, last, flipped=views[0][1])
            for scores, flipped in views[1:]:
                total += view_probabilities(scores, first, last, flipped=flipped)
            yield first, total[0].div_(len(views))

    def _scores(
        self, score: Score, view: Mapping[str, Any], size: tuple[int, int], device: torch.device
    ) -> WindowScores:
        pixels = view["pixels"].to(device)[None].float()
        pixels = (pixels - self.pixel_mean.to(device)) / self.pixel_std.to(device)
        return self.windows(score, pixels, content=view["content"], output_size=size)
