"""Sizes of images in training and evaluation, as the published recipes round them."""


def limited_size(height: int, width: int, long_side: int, short_side: int) -> tuple[int, int]:
    """The largest (height, width) of the same shape whose sides keep both limits, rounded half up."""
    factor = min(long_side / max(height, width), short_side / min(height, width))
    return max(int(height * factor + 0.5), 1), max(int(width * factor + 0.5), 1)


def next_multiple(length: int, divisor: int) -> int:
    """`length`, or the next larger multiple of `divisor`."""
    return -(-length // divisor) * divisor
