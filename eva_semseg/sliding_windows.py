"""Class scores of images of any size, from overlapping windows or from the whole image at once.

The scores of a window, at the resolution of the model, have to be resized to the window, averaged with those of its
neighbours, cut to the image without padding and resized once more to the output size. All these steps are linear and
separable: they act on rows and columns independently. Together they are therefore one matrix for the rows and one for
the columns, D @ scores @ A.T, summed over the windows. Applied to some rows of D only, this gives any strip of the
result. A map of all classes never exists at the size of a window or of the resized image, which for 171 classes would
take several times the memory of the result.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from eva_backbone.errors import InputError

Score = Callable[[Tensor], Tensor]  # pixels [N, 3, h, w] -> scores [N, K, h', w'] of any resolution


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Return the first pixel of each window along an axis of `length` pixels; the last window ends at the border."""
    num_steps = -(-(length - window) // stride)  # rounded up
    starts = []
    for index in range(max(num_steps, 0) + 1):
        # Moved back where it would cross the border: every window is full, and overlaps more instead.
        starts.append(max(min(index * stride, length - window), 0))
    return starts


@dataclass(frozen=True)
class WindowScores:
    """Scores of all windows of an image, which are merged only for the rows that are requested.

    Attributes:
        windows: For each row of windows, the scores [B, K, h', w'] of its windows from left to right.
        down: For each row of windows, the matrix [H, h'] from the rows of its scores to the rows of the result.
        across: The matrix [W, sum of w'] from the columns of a row of windows, concatenated, to those of the result.
    """

    windows: list[list[Tensor]]
    down: list[Tensor]
    across: Tensor

    @property
    def num_classes(self) -> int:
        """Number of classes, K."""
        return self.windows[0][0].shape[1]

    def rows(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Return the scores [B, K, rows, W] of the rows from `start` to `stop` (exclusive; by default the end)."""
        one, num_rows = self.windows[0][0], len(self.down[0][start:stop])
        merged = one.new_zeros(*one.shape[:2], num_rows, len(self.across))
        # Autocast would round the products; the averages would show it.
        with torch.autocast(one.device.type, enabled=False):
            for scores, matrix in zip(self.windows, self.down, strict=True):
                matrix = matrix[start:stop]
                # A row of windows affects only a part of the result and only some of its own rows affect the requested
                # ones. The rest of the matrix is zero and is skipped.
                top, bottom = _nonzero_range(matrix.any(dim=1))
                begin, end = _nonzero_range(matrix.any(dim=0))
                # Columns first: they are the smaller product, because scores have fewer rows than the result.
                wide = torch.cat([window[:, :, begin:end] for window in scores], dim=3) @ self.across.T
                merged[:, :, top:bottom] += matrix[top:bottom, begin:end] @ wide
        return merged


class SlidingWindows:
    """Average the scores of overlapping windows.

    Args:
        size: (height, width) of a window, limited to the size of the image; None for one window, the whole image.
        stride: Pixels from one window to the next (down, right).
        batch_size: Number of windows per forward pass of the model.

    Raises:
        InputError: A stride larger than the window, which would skip pixels, or a batch size below 1.
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
            raise InputError(f"batch_size={batch_size} is not positive; give 1 or more.")
        if self.size is not None:
            for side, step in zip(self.size, self.stride, strict=True):
                if not 0 < step <= side:
                    raise InputError(
                        f"stride={self.stride} skips pixels between windows of {self.size}; give values from 1 to the "
                        "size of the window."
                    )

    def __call__(
        self,
        score: Score,
        pixels: Tensor,
        *,
        content: tuple[int, int] | None = None,
        output_size: tuple[int, int] | None = None,
    ) -> WindowScores:
        """Compute the scores of `pixels` [B, 3, h, w]; the result gives them as [B, K, H, W] or in strips of rows.

        Args:
            score: Function from normalised pixels to class scores.
            pixels: Normalised images, which may be padded at the right and bottom.
            content: (height, width) of the image without padding, from the upper left corner; by default everything.
            output_size: (H, W) that the content is resized to, bilinearly; by default its own size.
        """
        batch, _, height, width = pixels.shape
        content = content or (height, width)
        output_size = output_size or content
        window = height, width
        if self.size is not None:
            window = min(self.size[0], height), min(self.size[1], width)
        tops = window_starts(height, window[0], self.stride[0])
        lefts = window_starts(width, window[1], self.stride[1])
        corners = [(top, left) for top in tops for left in lefts]
        scores: list[Tensor] = []
        windows_per_pass = max(self.batch_size // batch, 1)
        for start in range(0, len(corners), windows_per_pass):
            group = corners[start : start + windows_per_pass]
            crops = torch.cat([pixels[:, :, top : top + window[0], left : left + window[1]] for top, left in group])
            scores += score(crops).float().split(batch)
        one = scores[0]
        down = axis_matrices(tops, window[0], one.shape[2], content[0], output_size[0], like=one)
        across = torch.cat(axis_matrices(lefts, window[1], one.shape[3], content[1], output_size[1], like=one), dim=1)
        rows = [scores[start : start + len(lefts)] for start in range(0, len(scores), len(lefts))]
        return WindowScores(rows, down, across)


def axis_matrices(
    starts: list[int], window: int, resolution: int, content: int, output: int, *, like: Tensor
) -> list[Tensor]:
    """Return, for each window along an axis, the matrix [output, resolution] from its scores to the result.

    The matrix resizes the scores to the window, divides each pixel by the number of windows that contain it, drops the
    padding and resizes the rest to the output. The number of windows over a pixel is the product of the numbers along
    both axes, so that each axis can divide by its own.

    Args:
        starts: First pixel of each window.
        window: Pixels of a window along this axis.
        resolution: Number of scores of a window along this axis.
        content: Pixels of the image without padding.
        output: Pixels of the result.
        like: Tensor with the type and device of the result; the product is computed in float64.
    """
    length = starts[-1] + window
    resize = _interpolation(resolution, window)
    counts = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        counts[start : start + window] += 1
    to_output = _interpolation(content, output)
    matrices = []
    for start in starts:
        inside = max(min(window, content - start), 0)  # pixels of the window that are not padding
        part = to_output[:, start : start + inside] / counts[start : start + inside]
        matrices.append((part @ resize[:inside]).to(like))
    return matrices


def _interpolation(size: int, output: int) -> Tensor:
    """Return the matrix [output, size] of PyTorch's linear interpolation with align_corners=False.

    Column i of the matrix is the interpolation of the i-th unit vector.
    """
    if size == output:
        return torch.eye(size, dtype=torch.float64)
    unit = torch.eye(size, dtype=torch.float64)[:, None]
    return F.interpolate(unit, size=output, mode="linear", align_corners=False)[:, 0].T


def _nonzero_range(used: Tensor) -> tuple[int, int]:
    """Return the range (start, stop) from the first true element to the last one; (0, 0) if there is none."""
    indices = used.nonzero()
    if not len(indices):
        return 0, 0
    return int(indices[0]), int(indices[-1]) + 1
