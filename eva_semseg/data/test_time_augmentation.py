"""The views of a test image: resized, maybe to several sizes, maybe mirrored, padded last."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from eva_backbone.errors import InputError


class TestTimeAugmentation:
    """Makes views as the published evaluations did.

    An image is resized to fit the limits, then each side once more, up to a multiple of `divisor`, which may change its
    shape a little. It is mirrored before it is padded with black at the right and bottom.

    Args:
        long_side, short_side: limits in pixels at ratio 1.
        ratios: a view for each; both limits are multiplied by it.
        flip: add the mirror image of each.
        divisor: of both sides.
        min_side: sides are padded to this many pixels; 0: no padding.

    Raises:
        InputError: no view, or a ratio or divisor of 0 or less.
    """

    def __init__(
        self,
        long_side: int = 3584,
        short_side: int = 896,
        ratios: Sequence[float] = (1.0,),
        flip: bool = False,
        divisor: int = 32,
        min_side: int = 0,
    ) -> None:
        self.long_side, self.short_side = long_side, short_side
        self.ratios, self.flip = tuple(ratios), flip
        self.divisor, self.min_side = divisor, min_side
        if not self.ratios or min(*self.ratios, divisor) <= 0:
            raise InputError(f"ratios={list(ratios)} with divisor={divisor} give no view; give numbers above 0.")

    def sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """(height, width) of the view of each ratio, without padding."""
        return [
            (next_multiple(resized_height, self.divisor), next_multiple(resized_width, self.divisor))
            for resized_height, resized_width in self._resized(height, width)
        ]

    def __call__(self, image: np.ndarray) -> list[dict[str, Any]]:
        """[{"pixels": uint8 [3, h, w], "content": (h, w) without padding, "flipped": bool}, ...] of [H, W, 3] uint8."""
        views = []
        sizes = zip(self._resized(*image.shape[:2]), self.sizes(*image.shape[:2]), strict=True)
        for resized, size in sizes:
            view = cv2.resize(image, resized[::-1], interpolation=cv2.INTER_LINEAR)
            view = cv2.resize(view, size[::-1], interpolation=cv2.INTER_LINEAR)
            for flipped in (False, True) if self.flip else (False,):
                pixels = view[:, ::-1] if flipped else view
                rest = [(0, max(self.min_side - side, 0)) for side in size]
                padded = np.pad(pixels, [*rest, (0, 0)])
                tensor = torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1)))
                views.append({"pixels": tensor, "content": size, "flipped": flipped})
        return views

    def _resized(self, height: int, width: int) -> list[tuple[int, int]]:
        limits = [(int(self.long_side * ratio), int(self.short_side * ratio)) for ratio in self.ratios]
        return [limited_size(height, width, *limit) for limit in limits]


def limited_size(height: int, width: int, long_side: int, short_side: int) -> tuple[int, int]:
    """The largest (height, width) of the same shape whose sides keep both limits, rounded half up."""
    factor = min(long_side / max(height, width), short_side / min(height, width))
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)


def next_multiple(length: int, divisor: int) -> int:
    """`length`, or the next larger multiple of `divisor`."""
    return -(-length // divisor) * divisor
