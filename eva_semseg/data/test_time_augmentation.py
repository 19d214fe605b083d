"""Test-time augmentation: the views of a test image, resized to one or several scales, optionally flipped, padded."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from eva_backbone.errors import InputError


class TestTimeAugmentation:
    """Makes the views of an image in the same way as the published evaluations.

    An image is resized to fit the limits; then each side is resized up to a multiple of `divisor`, which may change the
    aspect ratio a little. A view is flipped before it is padded with black at the right and bottom.

    Args:
        long_side, short_side: Upper limits of the image sides in pixels at ratio 1. Without a limit of the longer side
            (None), the shorter side of every view has the size of its limit.
        ratios: Scales, one view for each; both limits are multiplied by it.
        flip: Add the horizontally flipped image of each view.
        divisor: Both sides of a view are multiples of it.
        min_side: Sides are padded to at least this many pixels; 0 for no padding.
        min_short_side: Least limit of the shorter side, whatever the ratio. Small ratios then give equal views, each of
            which counts in the mean, as in EVA-02's published evaluation.

    Raises:
        InputError: There are no views, or a ratio or the divisor is not positive.
    """

    __test__ = False  # pytest would take it for a test class

    def __init__(
        self,
        long_side: int | None = 3584,
        short_side: int = 896,
        ratios: Sequence[float] = (1.0,),
        flip: bool = False,
        divisor: int = 32,
        min_side: int = 0,
        min_short_side: int = 0,
    ) -> None:
        self.long_side, self.short_side = long_side, short_side
        self.ratios, self.flip = tuple(ratios), flip
        self.divisor, self.min_side, self.min_short_side = divisor, min_side, min_short_side
        if not self.ratios or min(*self.ratios, divisor) <= 0:
            raise InputError(f"ratios={list(ratios)} with divisor={divisor} give no views; give numbers above 0.")

    def __call__(self, image: np.ndarray) -> list[dict[str, Any]]:
        """Return the views of an image [H, W, 3] uint8.

        Returns:
            [{"pixels": uint8 [3, h, w], "content": (h, w) without padding, "flipped": bool}, ...]
        """
        views = []
        for rescaled, size in self._view_sizes(*image.shape[:2]):
            # Two steps, as in the published evaluations: a direct resize would give slightly different pixels.
            resized = cv2.resize(image, rescaled[::-1], interpolation=cv2.INTER_LINEAR)
            resized = cv2.resize(resized, size[::-1], interpolation=cv2.INTER_LINEAR)
            views.append(self._make_view(resized, flipped=False))
            if self.flip:
                views.append(self._make_view(resized[:, ::-1], flipped=True))
        return views

    def _make_view(self, pixels: np.ndarray, *, flipped: bool) -> dict[str, Any]:
        height, width = pixels.shape[:2]
        bottom, right = max(self.min_side - height, 0), max(self.min_side - width, 0)
        padded = np.pad(pixels, [(0, bottom), (0, right), (0, 0)])
        channels_first = torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1)))
        return {"pixels": channels_first, "content": (height, width), "flipped": flipped}

    def _view_sizes(self, height: int, width: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
        """Return, for each ratio, (height, width) after the first resize and after the second one."""
        sizes = []
        for ratio in self.ratios:
            short_side = max(int(self.short_side * ratio), self.min_short_side)
            if self.long_side is None:
                long_side = short_side * max(height, width) / min(height, width)
            else:
                long_side = int(self.long_side * ratio)
            rescaled = rescaled_size(height, width, long_side, short_side)
            size = (next_multiple(rescaled[0], self.divisor), next_multiple(rescaled[1], self.divisor))
            sizes.append((rescaled, size))
        return sizes


def rescaled_size(height: int, width: int, long_side: float, short_side: int) -> tuple[int, int]:
    """Return the largest (height, width) of the same aspect ratio within both limits, rounded half up."""
    factor = min(long_side / max(height, width), short_side / min(height, width))
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)


def next_multiple(length: int, divisor: int) -> int:
    """Return `length`, rounded up to a multiple of `divisor`."""
    return -(-length // divisor) * divisor
