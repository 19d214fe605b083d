"""The training augmentations of the published recipes, on an RGB image [H, W, 3] uint8 and its labels [H, W].

All random numbers come from `numpy.random`.
"""

import cv2
import numpy as np

from ..segmentation_targets import IGNORED
from .test_time_augmentation import limited_size

Pair = tuple[np.ndarray, np.ndarray]


class RandomScale:
    """Resizes both so that they fit into limits, which grow with a random ratio; the shape is kept.

    Args:
        long_side, short_side: limits in pixels at ratio 1.
        ratios: lowest and highest ratio.
    """

    def __init__(self, long_side: int, short_side: int, ratios: tuple[float, float] = (0.5, 2.0)) -> None:
        self.long_side, self.short_side = long_side, short_side
        self.lowest_ratio, self.highest_ratio = ratios

    def __call__(self, image: np.ndarray, labels: np.ndarray) -> Pair:
        """RGB image [H, W, 3] uint8 and labels [H, W] to a changed pair of the same kind."""
        ratio = np.random.uniform(self.lowest_ratio, self.highest_ratio)
        height, width = labels.shape
        long_side, short_side = max(int(self.long_side * ratio), 1), max(int(self.short_side * ratio), 1)
        return resize_pair(image, labels, limited_size(height, width, long_side, short_side))


def resize_pair(image: np.ndarray, labels: np.ndarray, size: tuple[int, int]) -> Pair:
    """Image [H, W, 3] and labels [H, W] to `size` (height, width) in pixels: bilinear, and nearest for labels."""
    shape = size[::-1]
    return (
        cv2.resize(image, shape, interpolation=cv2.INTER_LINEAR),
        cv2.resize(labels, shape, interpolation=cv2.INTER_NEAREST),
    )


class RandomCrop:
    """Cuts out a window, smaller where the image is, in which no class should take too much.

    Up to ten windows are looked at; one more is taken as it comes.

    Args:
        size: (height, width).
        max_share: a window is good if the most frequent class has less than this share of its labelled pixels and is
            not the only one; 1 takes any window.
    """

    NUM_TRIES = 10

    def __init__(self, size: tuple[int, int], max_share: float = 0.75) -> None:
        self.size, self.max_share = tuple(size), max_share

    def __call__(self, image: np.ndarray, labels: np.ndarray) -> Pair:
        """RGB image [H, W, 3] uint8 and labels [H, W] to a changed pair of the same kind."""
        window = self._draw(labels.shape)
        if self.max_share < 1:
            for _ in range(self.NUM_TRIES):
                if self._is_good(labels[window]):
                    break
                window = self._draw(labels.shape)
        return image[window], labels[window]

    def _draw(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        starts = [np.random.randint(max(length - side, 0) + 1) for length, side in zip(shape, self.size, strict=True)]
        rows, columns = (slice(start, start + side) for start, side in zip(starts, self.size, strict=True))
        return rows, columns

    def _is_good(self, labels: np.ndarray) -> bool:
        counts = np.unique(labels[labels != IGNORED], return_counts=True)[1]
        return len(counts) > 1 and counts.max() / counts.sum() < self.max_share


class RandomMirror:
    """Mirrors both, with probability 0.5: left to right, or upside down."""

    def __init__(self, vertical: bool = False) -> None:
        self.axis = 0 if vertical else 1

    def __call__(self, image: np.ndarray, labels: np.ndarray) -> Pair:
        """RGB image [H, W, 3] uint8 and labels [H, W] to a changed pair of the same kind."""
        if np.random.rand() < 0.5:
            return np.flip(image, self.axis), np.flip(labels, self.axis)
        return image, labels


class PhotometricDistortion:
    """Brightness, contrast, saturation and hue, each changed with probability 0.5; the labels stay.

    Contrast comes second or last, by chance. After every step values are cut to whole numbers 0..255.

    Args:
        brightness: largest number added or taken away.
        contrast, saturation: lowest and highest factor.
        hue: largest turn, in 180ths of the circle.
    """

    def __init__(
        self,
        brightness: float = 32,
        contrast: tuple[float, float] = (0.5, 1.5),
        saturation: tuple[float, float] = (0.5, 1.5),
        hue: int = 18,
    ) -> None:
        self.brightness, self.hue = brightness, hue
        self.lowest_contrast, self.highest_contrast = contrast
        self.lowest_saturation, self.highest_saturation = saturation

    def __call__(self, image: np.ndarray, labels: np.ndarray) -> Pair:
        """RGB image [H, W, 3] uint8 and labels [H, W] to a changed pair of the same kind."""
        if np.random.randint(2):
            image = _scaled(image, 1.0, np.random.uniform(-self.brightness, self.brightness))
        contrast_first = np.random.randint(2)
        if contrast_first:
            image = self._change_contrast(image)
        if np.random.randint(2):
            hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
            hsv[..., 1] = _scaled(hsv[..., 1], np.random.uniform(self.lowest_saturation, self.highest_saturation))
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        if np.random.randint(2):
            hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
            hsv[..., 0] = (hsv[..., 0].astype(int) + np.random.randint(-self.hue, self.hue)) % 180
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        return (image if contrast_first else self._change_contrast(image)), labels

    def _change_contrast(self, image: np.ndarray) -> np.ndarray:
        if np.random.randint(2) == 0:
            return image
        return _scaled(image, np.random.uniform(self.lowest_contrast, self.highest_contrast))


def _scaled(values: np.ndarray, factor: float, offset: float = 0.0) -> np.ndarray:
    return np.clip(values.astype(np.float32) * factor + offset, 0, 255).astype(np.uint8)
