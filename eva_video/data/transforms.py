"""From the frames of a video to the pixels that the model gets, as in the published recipes."""

import random
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image
from torchvision.transforms import v2

from eva_backbone.errors import InputError

from .crops import centre_crop, crop_corners, crop_sizes, resize_shorter_side, three_crops

# ImageNet's, in grey levels.
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)


def normalise(frames: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """[T, H, W, 3] uint8 to normalised [3, T, H, W] float32, contiguous."""
    shape = (3, 1, 1, 1)
    values = np.ascontiguousarray(frames.transpose(3, 0, 1, 2)).astype(np.float32)
    values -= np.asarray(mean, np.float32).reshape(shape)
    values /= np.asarray(std, np.float32).reshape(shape)
    return values


class TrainingTransform:
    """Resize, a crop of several sizes and shapes, mirroring, colour jitter, grey.

    Crop, mirroring and grey are the same for all frames of a clip. Random numbers come from `random` and torch.

    Args:
        size: side of the output, pixels.
        shorter_side: of the frames before the crop; None: 256/224 of `size`.
        scales: shares of the shorter side that the sides of a crop can have.
        colour_jitter: most change of brightness, contrast, saturation and hue.
        colour_jitter_share: share of clips whose colours are changed.
        colour_jitter_per_frame: draw the change anew for each frame. The published weights were trained with the
            flicker that this makes, hence the default; False draws once for a clip.
        grey_share: share of clips that lose their colours.
        mirror_share: share of clips that are mirrored; 0 where left and right matter.
    """

    def __init__(
        self,
        size: int,
        *,
        shorter_side: int | None = None,
        scales: Sequence[float] = (1, 0.875, 0.75, 0.66),
        colour_jitter: Sequence[float] = (0.4, 0.4, 0.2, 0.1),
        colour_jitter_share: float = 0.8,
        colour_jitter_per_frame: bool = True,
        grey_share: float = 0.2,
        mirror_share: float = 0.5,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        self.size = size
        self.shorter_side = _before_crop(size) if shorter_side is None else shorter_side
        self.scales = tuple(scales)
        self.mean, self.std = tuple(mean), tuple(std)
        self._jitter = v2.ColorJitter(*colour_jitter)
        self._grey = v2.RandomGrayscale(grey_share)
        self.colour_jitter_share = colour_jitter_share
        self.colour_jitter_per_frame = colour_jitter_per_frame
        self.mirror_share = mirror_share

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """A frame [H, W, 3] with its shorter side resized."""
        return resize_shorter_side(image, self.shorter_side)

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Prepared frames [T, H, W, 3] uint8 to [3, T, size, size] float32."""
        height, width = frames.shape[1:3]
        crop_width, crop_height = random.choice(crop_sizes(height, width, self.size, self.scales))
        x, y = random.choice(crop_corners(height, width, crop_height, crop_width))
        frames = frames[:, y : y + crop_height, x : x + crop_width]
        if random.random() < self.mirror_share:
            frames = frames[:, :, ::-1]
        side = (self.size, self.size)
        resized = [cv2.resize(np.ascontiguousarray(frame), side, interpolation=cv2.INTER_LINEAR) for frame in frames]
        # On PIL images, in whose rounding the published weights were trained.
        images = self._grey(self._jittered([Image.fromarray(frame) for frame in resized]))
        return normalise(np.stack([np.asarray(image) for image in images]), self.mean, self.std)

    def _jittered(self, images: list[Image.Image]) -> list[Image.Image]:
        if random.random() >= self.colour_jitter_share:
            return images
        if self.colour_jitter_per_frame:
            return [self._jitter(image) for image in images]
        return self._jitter(images)


class EvaluationTransform:
    """Resize and one crop at the centre, or three along the longer side.

    Args:
        size: side of the output, pixels. Before the crop the shorter side is 256/224 of it, with three crops just it.
        num_crops: 1 or 3.

    Raises:
        InputError: another number of crops.
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
        """A frame [H, W, 3] with its shorter side resized."""
        return resize_shorter_side(image, self.size if self.num_crops == 3 else _before_crop(self.size))

    def __call__(self, frames: np.ndarray, num_clips: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """The views of prepared frames [num_clips * T, H, W, 3] uint8, clip after clip.

        Returns:
            Pixels [num_crops * num_clips, 3, T, size, size] float32, and the number of the clip and of the crop (first,
            last, middle) of each view, [num_crops * num_clips, 2]: all clips of a crop follow each other.
        """
        crops = three_crops(frames, self.size) if self.num_crops == 3 else [centre_crop(frames, self.size)]
        length = len(frames) // num_clips
        parts = [crop[clip * length : (clip + 1) * length] for crop in crops for clip in range(num_clips)]
        pixels = np.stack([normalise(part, self.mean, self.std) for part in parts])
        views = [(clip, crop) for crop in range(self.num_crops) for clip in range(num_clips)]
        return pixels, np.array(views)


def _before_crop(size: int) -> int:
    return int(256 / 224 * size)
