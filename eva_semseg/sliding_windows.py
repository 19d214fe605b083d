"""Class scores of images of any size, from windows that overlap or from the whole image at once.

The scores of a window come at the resolution of the model, are resized to the window, averaged with those of its
neighbours and resized once more to the wanted size. All these steps are linear and act on rows and columns apart, so
each window's scores are multiplied once from the left and once from the right, for as many rows of the result as are
wanted. No map of all classes exists at the size of the window or of the resized image.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from eva_backbone.errors import InputError

Score = Callable[[Tensor], Tensor]  # pixels [N, 3, h, w] -> scores [N, K, h', w'] of any resolution


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """First pixel of each window along an axis of `length` pixels; the last window ends at the border."""
    count = max(-(-(length - window) // stride), 0) + 1
    return [max(min(index * stride, length - window), 0) for index in range(count)]


@dataclass(frozen=True)
class WindowScores:
    """Scores of all windows of an image, put together for the rows that are asked for.

    Args:
        windows: for each row of windows the scores [B, K, h', w'] of its windows from left to right.
        down: for each row of windows the matrix [H, h'] from its scores to its part of the result.
        across: the matrix [W, sum of w'] from the scores of a row of windows, side by side.
    """

    windows: list[list[Tensor]]
    down: list[Tensor]
    across: Tensor

    @property
    def num_classes(self) -> int:
        """K."""
        return self.windows[0][0].shape[1]

    def rows(self, first: int = 0, last: int | None = None) -> Tensor:
        """Scores [B, K, rows, W] of the rows from `first` up to `last` without it, or to the end."""
        one, num_rows = self.windows[0][0], len(self.down[0][first:last])
        merged = one.new_zeros(*one.shape[:2], num_rows, len(self.across))
        # Reduced precision would be visible in the averages.
        with torch.autocast(one.device.type, enabled=False):
            for scores, matrix in zip(self.windows, self.down, strict=True):
                matrix = matrix[first:last]
                top, bottom = _nonzero(matrix.any(dim=1))
                begin, end = _nonzero(matrix.any(dim=0))
                wide = torch.cat([window[:, :, begin:end] for window in scores], dim=3) @ self.across.T
                merged[:, :, top:bottom] += matrix[top:bottom, begin:end] @ wide
        return merged


class SlidingWindows:
    """Averages the scores of overlapping windows.

    Args:
        size: of a window (height, width), cut where the image is smaller; None: one window, the whole image.
        stride: pixels from one window to the next (down, right).
        batch_size: windows that the model gets at once.

    Raises:
        InputError: a stride larger than the window, which would leave pixels out.
    """

    def __init__(
        self,
        size: tuple[int, int] | None = (896, 896),
        stride: tuple[int, int] = (512, 512),
        batch_size: int = 4,
    ) -> None:
        self.size = None if size is None else tuple(size)
        self.stride = tuple(stride)
        self.batch_size = batch_size
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size} takes no window; give 1 or more.")
        if self.size is not None and not all(map(_covers, self.size, self.stride)):
            raise InputError(
                f"stride={self.stride} leaves pixels between windows of {self.size}; give 1 up to the window's size."
            )

    def __call__(
        self,
        score: Score,
        pixels: Tensor,
        *,
        content: tuple[int, int] | None = None,
        output_size: tuple[int, int] | None = None,
    ) -> WindowScores:
        """Scores of `pixels` [B, 3, h, w], to be had as [B, K, H, W] or in parts of its rows.

        Args:
            score: the model.
            content: (height, width) of what is no padding, from the upper left corner; by default everything.
            output_size: (H, W) that the content is resized to, bilinearly; by default its own size.
        """
        batch, _, height, width = pixels.shape
        content = content or (height, width)
        output_size = output_size or content
        window = (height, width) if self.size is None else (min(self.size[0], height), min(self.size[1], width))
        tops = window_starts(height, window[0], self.stride[0])
        lefts = window_starts(width, window[1], self.stride[1])
        corners = [(top, left) for top in tops for left in lefts]
        scores: list[Tensor] = []
        at_once = max(self.batch_size // batch, 1)
        for start in range(0, len(corners), at_once):
            group = corners[start : start + at_once]
            cut = torch.cat([pixels[:, :, top : top + window[0], left : left + window[1]] for top, left in group])
            scores += score(cut).float().split(batch)
        one = scores[0]
        down = axis_matrices(tops, window[0], one.shape[2], content[0], output_size[0], like=one)
        across = torch.cat(axis_matrices(lefts, window[1], one.shape[3], content[1], output_size[1], like=one), dim=1)
        rows = [scores[start : start + len(lefts)] for start in range(0, len(scores), len(lefts))]
        return WindowScores(rows, down, across)


def _covers(side: int, step: int) -> bool:
    return 0 < step <= side


def axis_matrices(
    starts: list[int], window: int, resolution: int, content: int, output: int, *, like: Tensor
) -> list[Tensor]:
    """For each window along an axis the matrix [output, resolution] from its scores to its part of the result.

    It resizes the scores to `window` pixels, divides each pixel by the number of windows over it, drops what lies
    behind `content` and resizes the rest to `output`. Type and device are those of `like`.
    """
    length = starts[-1] + window
    resize = _interpolation(resolution, window)
    counts = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        counts[start : start + window] += 1
    to_output = _interpolation(content, output)
    matrices = []
    for start in starts:
        inside = max(min(window, content - start), 0)
        part = to_output[:, start : start + inside] / counts[start : start + inside]
        matrices.append((part @ resize[:inside]).to(like))
    return matrices


def _interpolation(size: int, output: int) -> Tensor:
    """The matrix [output, size] of PyTorch's linear interpolation between pixel areas."""
    if size == output:
        return torch.eye(size, dtype=torch.float64)
    unit = torch.eye(size, dtype=torch.float64)[:, None]
    return F.interpolate(unit, size=output, mode="linear", align_corners=False)[:, 0].T


def _nonzero(used: Tensor) -> tuple[int, int]:
    """From the first one that is true to behind the last one."""
    places = used.nonzero()
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
