"""Image transforms of the published recipes, mostly timm's, with CLIP's mean and standard deviation."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image
from timm.data import auto_augment as auto_augment_ops
from timm.data import create_transform
from timm.data.constants import OPENAI_CLIP_MEAN as CLIP_MEAN
from timm.data.constants import OPENAI_CLIP_STD as CLIP_STD
from torch import Tensor
from torchvision import transforms as T

from eva_backbone.errors import InputError, check_choice

_ASPECT_RATIOS = (3 / 4, 4 / 3)
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")

Transform = Callable[[Image.Image], Tensor]


def evaluation_transform(
    size: int,
    crop_pct: float | None = None,
    interpolation: str = "bicubic",
    mean: Sequence[float] = CLIP_MEAN,
    std: Sequence[float] = CLIP_STD,
) -> Transform:
    """Resize the shorter side to `size` / `crop_pct` pixels and crop the centre, `size` x `size`.

    Args:
        size: Side of the crop in pixels.
        crop_pct: Side of the crop as a fraction of the resized shorter side. None: 224/256 for sizes below 384, else 1.
        interpolation: "bicubic", "bilinear", "nearest", "box", "hamming" or "lanczos".
        mean: Mean of each channel, with pixel values from 0 to 1.
        std: Standard deviation of each channel.

    Raises:
        InputError: The interpolation is unknown.
    """
    check_choice("interpolation", interpolation, _INTERPOLATIONS)
    if crop_pct is None:
        crop_pct = 224 / 256 if size < 384 else 1.0
    return create_transform(
        size, crop_pct=crop_pct, interpolation=interpolation, mean=tuple(mean), std=tuple(std), crop_mode="center"
    )


def training_transform(
    size: int,
    scale: Sequence[float] = (0.08, 1.0),
    auto_augment: str | None = "rand-m9-mstd0.5-inc1",
    re_prob: float = 0.0,
    mean: Sequence[float] = CLIP_MEAN,
    std: Sequence[float] = CLIP_STD,
) -> Transform:
    """Crop randomly with aspect ratio 3/4 to 4/3, resize to `size` x `size`, flip half of the images, then RandAugment.

    Args:
        size: Side of the resized crop in pixels.
        scale: Range of the crop's area as a fraction of the image's area.
        auto_augment: timm's name of an augmentation policy, None for none; there is no other colour jitter.
        re_prob: Probability of random erasing.
        mean: Mean of each channel, with pixel values from 0 to 1.
        std: Standard deviation of each channel.

    Raises:
        InputError: timm does not know the augmentation policy.
    """
    min_scale, max_scale = scale
    try:
        transform = create_transform(
            size,
            is_training=True,
            scale=(min_scale, max_scale),
            ratio=_ASPECT_RATIOS,
            hflip=0.5,
            color_jitter=None,  # type: ignore[arg-type]  # timm accepts None for no jitter, but is annotated otherwise
            auto_augment=auto_augment,
            interpolation="bicubic",
            re_prob=re_prob,
            re_mode="pixel",
            mean=tuple(mean),
            std=tuple(std),
        )
    except (AssertionError, KeyError, ValueError) as error:
        raise InputError(
            f"timm does not know auto_augment={auto_augment!r} ({error}); correct the name, or use null for none."
        ) from error
    for step in transform.transforms:
        for operation in getattr(step, "ops", ()):
            if operation.aug_fn is auto_augment_ops.posterize:
                operation.aug_fn = _posterize
    return transform


def _posterize(image: Image.Image, bits: int, **options: Any) -> Image.Image:
    """Call timm's posterize, but return a black image for 0 bits.

    timm asks for 0 bits at the highest magnitudes. Older versions of Pillow returned a black image, newer ones refuse.
    """
    if bits > 0:
        return auto_augment_ops.posterize(image, bits, **options)
    return Image.new(image.mode, image.size)


def probe_transform(size: int, mean: Sequence[float] = CLIP_MEAN, std: Sequence[float] = CLIP_STD) -> Transform:
    """Augment for linear probes: `RandomCropOnce` and random horizontal flips only."""
    return T.Compose(
        [
            RandomCropOnce(size, scale=(0.08, 1.0), ratio=_ASPECT_RATIOS, interpolation=T.InterpolationMode.BICUBIC),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize(tuple(mean), tuple(std)),
        ]
    )


class RandomCropOnce(T.RandomResizedCrop):
    """Draw a resized crop once and clip its width and height to the image, as the TensorFlow recipes do.

    torchvision's own class draws up to ten times until a crop fits inside the image.
    """

    @staticmethod
    def get_params(
        img: Image.Image | Tensor, scale: Sequence[float], ratio: Sequence[float]
    ) -> tuple[int, int, int, int]:
        """Return top, left, height and width in pixels."""
        _, height, width = T.functional.get_dimensions(img)
        area = height * width * random.uniform(*scale)
        # Uniform in the logarithm, so that an aspect ratio and its inverse are equally likely.
        aspect_ratio = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        crop_width = min(max(round(math.sqrt(area * aspect_ratio)), 1), width)
        crop_height = min(max(round(math.sqrt(area / aspect_ratio)), 1), height)
        top = random.randint(0, height - crop_height)
        left = random.randint(0, width - crop_width)
        return top, left, crop_height, crop_width
