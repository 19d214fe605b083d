"""Transform the frames of a video to the pixels that the model gets, as in the published recipes."""

import random
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image
from torchvision.transforms import v2

from eva_backbone.errors import InputError

from .crops import centre_crop, crop_corners, crop_sizes, resize_shorter_side, three_crops

# Mean and standard deviation of ImageNet's RGB values, on the scale from 0 to 255.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


def normalise(frames: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Normalise [T, H, W, 3] uint8 to contiguous [3, T, H, W] float32."""
    shape = (3, 1, 1, 1)
    values = np.ascontiguousarray(frames.transpose(3, 0, 1, 2)).astype(np.float32)
    values -= np.asarray(mean, np.float32).reshape(shape)
    values /= np.asarray(std, np.float32).reshape(shape)
    return values


class TrainingTransform:
    """Resize, random crop of several sizes and aspect ratios, horizontal flip, colour jitter and conversion to grey.

    All frames of a clip get the same crop, flip and conversion to grey. Random numbers come from `random` and torch.

    Args:
        size: Side of the output, pixels.
        shorter_side: Shorter side of the frames before the crop, pixels; None: 256/224 of `size`.
        scales: Possible sides of the crop, as fractions of the shorter side.
        colour_jitter: Largest change of brightness, contrast, saturation and hue.
        colour_jitter_prob: Probability of colour jitter for a clip.
        colour_jitter_per_frame: Whether the jitter is drawn for each frame separately. The published weights were
            trained with the flicker that this causes, hence the default; False draws once for the clip.
        grey_prob: Probability that a clip is converted to grey.
        flip_prob: Probability of a horizontal flip; 0 for classes that depend on left and right.
        mean, std: Normalisation, for RGB values from 0 to 255.
    """

    def __init__(
        self,
        size: int,
        *,
        shorter_side: int | None = None,
        scales: Sequence[float] = (1, 0.875, 0.75, 0.66),
        colour_jitter: Sequence[float] = (0.4, 0.4, 0.2, 0.1),
        colour_jitter_prob: float = 0.8,
        colour_jitter_per_frame: bool = True,
        grey_prob: float = 0.2,
        flip_prob: float = 0.5,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        self.size = size
        self.shorter_side = _size_before_crop(size) if shorter_side is None else shorter_side
        self.scales = tuple(scales)
        self.mean, self.std = tuple(mean), tuple(std)
        self._jitter = v2.ColorJitter(*colour_jitter)
        self._grey = v2.RandomGrayscale(grey_prob)
        self.colour_jitter_prob = colour_jitter_prob
        self.colour_jitter_per_frame = colour_jitter_per_frame
        self.flip_prob = flip_prob

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Resize the shorter side of a frame [H, W, 3]."""
        return resize_shorter_side(image, self.shorter_side)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Transform prepared frames [T, H, W, 3] uint8 to normalised pixels [3, T, size, size] float32."""
        height, width = frames.shape[1:3]
        crop_width, crop_height = random.choice(crop_sizes(height, width, self.size, self.scales))
        x, y = random.choice(crop_corners(height, width, crop_height, crop_width))
        frames = frames[:, y : y + crop_height, x : x + crop_width]
        if random.random() < self.flip_prob:
            frames = frames[:, :, ::-1]
        side = (self.size, self.size)
        resized = [cv2.resize(np.ascontiguousarray(frame), side, interpolation=cv2.INTER_LINEAR) for frame in frames]
        # Colours are changed on PIL images, because the published weights were trained with PIL's rounding.
        images = self._jittered([Image.fromarray(frame) for frame in resized])
        images = self._grey(images)
        return normalise(np.stack([np.asarray(image) for image in images]), self.mean, self.std)

    def _jittered(self, images: list[Image.Image]) -> list[Image.Image]:
        if random.random() >= self.colour_jitter_prob:
            return images
        if self.colour_jitter_per_frame:
            return [self._jitter(image) for image in images]
        return self._jitter(images)


class EvaluationTransform:
    """Resize, then take one crop at the centre or three along the longer side.

    Args:
        size: Side of the output, pixels. The shorter side is resized to it for three crops, and to 256/224 of it for
            one.
        num_crops: 1 or 3.
        mean, std: Normalisation, for RGB values from 0 to 255.

    Raises:
        InputError: `num_crops` is neither 1 nor 3.
    """

    def __init__(
        self,
        size: int,
        num_crops: int = 1,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        if num_crops not in (1, 3):
            raise InputError(f"num_crops is {num_crops}, expected 1 or 3.")
        self.size = size
        self.num_crops = num_crops
        self.mean, self.std = tuple(mean), tuple(std)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Resize the shorter side of a frame [H, W, 3]."""
        size = self.size if self.num_crops == 3 else _size_before_crop(self.size)
        return resize_shorter_side(image, size)

    def __call__(self, frames: np.ndarray, num_clips: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return the views of prepared frames [num_clips * T, H, W, 3] uint8, clip after clip.

        Returns:
            Pixels [num_crops * num_clips, 3, T, size, size] float32, and the clip and the crop (0 first, 1 last, 2
            middle) of each view, [num_crops * num_clips, 2]. All clips of the first crop come before those of the next.
        """
        crops = three_crops(frames, self.size) if self.num_crops == 3 else [centre_crop(frames, self.size)]
        length = len(frames) // num_clips
        pixels, views = [], []
        for crop_index, crop in enumerate(crops):
            for clip_index in range(num_clips):
                clip = crop[clip_index * length : (clip_index + 1) * length]
                pixels.append(normalise(clip, self.mean, self.std))
                views.append((clip_index, crop_index))
        return np.stack(pixels), np.array(views)


def _size_before_crop(size: int) -> int:
    return int(256 / 224 * size)
