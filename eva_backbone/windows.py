"""Non-overlapping square windows over a token grid."""

import torch
import torch.nn.functional as F


def partition_windows(x: torch.Tensor, window_size: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """[B, H, W, C] to [B * num_windows, window_size, window_size, C], by batch, row, column, and the padded (H, W).

    Zeros fill the bottom and right up to a multiple of the window. They are not masked afterwards: they take part in
    attention as zero keys, as in the published models.
    """
    batch, height, width, dim = x.shape
    pad_bottom, pad_right = -height % window_size, -width % window_size
    if pad_bottom or pad_right:
        x = F.pad(x, (0, 0, 0, pad_right, 0, pad_bottom))
    padded = (height + pad_bottom, width + pad_right)
    rows, columns = padded[0] // window_size, padded[1] // window_size
    x = x.view(batch, rows, window_size, columns, window_size, dim).transpose(2, 3)
    return x.reshape(-1, window_size, window_size, dim), padded


def merge_windows(
    windows: torch.Tensor, window_size: int, padded: tuple[int, int], grid: tuple[int, int]
) -> torch.Tensor:
    """Inverse of `partition_windows`: back to [B, H, W, C] of `grid`, the padding cut off."""
    rows, columns = padded[0] // window_size, padded[1] // window_size
    dim = windows.shape[-1]
    x = windows.view(-1, rows, columns, window_size, window_size, dim).transpose(2, 3)
    return x.reshape(-1, *padded, dim)[:, : grid[0], : grid[1]]
