"""The training augmentations of the published recipes, for an RGB image [H, W, 3] uint8 and its labels [H, W].

All random numbers come from `numpy.random`.
"""

import cv2
import numpy as np

from ..segmentation_targets import IGNORE_LABEL
from .test_time_augmentation import rescaled_size

Pair = tuple[np.ndarray, np.ndarray]


class RandomScale:
    """Resizes image and labels to fit limits that are multiplied by a random ratio; the aspect ratio is kept.

    Args:
        long_side, short_side: Upper limits of the image sides in pixels at ratio 1.
        ratios: Lowest and highest ratio.
    """

    def __init__(self, long_side: int, short_side: int, ratios: tuple[float, float] = (0.5, 2.0)) -> None:
        self.long_side, self.short_side = long_side, short_side
        self.lowest_ratio, self.highest_ratio = ratios

    def __call__(self, image: np.ndarray, labels: np.ndarray) -> Pair:
        """Augment an RGB image [H, W, 3] uint8 and its labels [H, W]."""
        ratio = np.random.uniform(self.lowest_ratio, self.highest_ratio)
        height, width = labels.shape
        long_side, short_side = max(int(self.long_side * ratio), 1), max(int(self.short_side * ratio), 1)
        return resize_pair(image, labels, rescaled_size(height, width, long_side, short_side))


def resize_pair(image: np.ndarray, labels: np.ndarray, size: tuple[int, int]) -> Pair:
    """Resize an image [H, W, 3] bilinearly and labels [H, W] by the nearest pixel to `size` (height, width)."""
    width_and_height = size[::-1]
    return (
        cv2.resize(image, width_and_height, interpolation=cv2.INTER_LINEAR),
        # Interpolated class indices would be other classes.
        cv2.resize(labels, width_and_height, interpolation=cv2.INTER_NEAREST),
    )


class RandomCrop:
    """Crops a random window in which no class is too frequent; smaller where the image is smaller.

    Up to ten windows are checked; if none is good, an eleventh is used unchecked.

    Args:
        size: (height, width) of the window.
        cat_max_ratio: A window is good if its most frequent class covers less than this fraction of its labelled
            pixels and is not the only class; 1 accepts any window.
    """

    NUM_TRIES = 10

    def __init__(self, size: tuple[int, int], cat_max_ratio: float = 0.75) -> None:
        self.size, self.cat_max_ratio = tuple(size), cat_max_ratio

    def __call__(self, image: np.ndarray, labels: np.ndarray) -> Pair:
        """Augment an RGB image [H, W, 3] uint8 and its labels [H, W]."""
        window = self._draw(labels.shape)
        if self.cat_max_ratio < 1:
            for _ in range(self.NUM_TRIES):
                if self._is_good(labels[window]):
                    break
                window = self._draw(labels.shape)
        return image[window], labels[window]

    def _draw(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        top = np.random.randint(max(shape[0] - self.size[0], 0) + 1)
        left = np.random.randint(max(shape[1] - self.size[1], 0) + 1)
        return slice(top, top + self.size[0]), slice(left, left + self.size[1])

    def _is_good(self, labels: np.ndarray) -> bool:
        counts = np.unique(labels[labels != IGNORE_LABEL], return_counts=True)[1]
        return len(counts) > 1 and counts.max() / counts.sum() < self.cat_max_ratio


class RandomFlip:
    """Flips image and labels with probability 0.5: left to right, or upside down if `vertical`."""

    def __init__(self, vertical: bool = False) -> None:
        self.axis = 0 if vertical else 1

    def __call__(self, image: np.ndarray, labels: np.ndarray) -> Pair:
        """Augment an RGB image [H, W, 3] uint8 and its labels [H, W]."""
        if np.random.rand() < 0.5:
            return np.flip(image, self.axis), np.flip(labels, self.axis)
        return image, labels


class PhotometricDistortion:
    """Changes brightness, contrast, saturation and hue, each with probability 0.5; the labels stay unchanged.

    Contrast is changed either second or last, chosen at random. Values are clipped to integers 0 to 255 after every
    step.

    Args:
        brightness: Largest number added or subtracted.
        contrast, saturation: Lowest and highest factor.
        hue: Largest rotation of the hue, in units of 2 degrees (OpenCV's hue runs from 0 to 179).
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
        """Augment an RGB image [H, W, 3] uint8 and its labels [H, W]."""
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
        if not contrast_first:
            image = self._change_contrast(image)
        return image, labels

    def _change_contrast(self, image: np.ndarray) -> np.ndarray:
        if np.random.randint(2) == 0:
            return image
        return _scaled(image, np.random.uniform(self.lowest_contrast, self.highest_contrast))


def _scaled(values: np.ndarray, factor: float, offset: float = 0.0) -> np.ndarray:
    return np.clip(values.astype(np.float32) * factor + offset, 0, 255).astype(np.uint8)
