"""The transforms of the published recipes, most of them timm's, with CLIP's statistics."""

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

_ASPECTS = (3 / 4, 4 / 3)
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")

Transform = Callable[[Image.Image], Tensor]


def evaluation_transform(
    size: int,
    crop_pct: float | None = None,
    interpolation: str = "bicubic",
    mean: Sequence[float] = CLIP_MEAN,
    std: Sequence[float] = CLIP_STD,
) -> Transform:
    """The shorter side to `size` / `crop_pct` pixels, of which the centre is kept, `size` x `size`.

    Args:
        crop_pct: None: 224/256 for sizes below 384, else 1.
        interpolation: "bicubic", "bilinear", "nearest", "box", "hamming" or "lanczos".

    Raises:
        InputError: another interpolation.
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
    """A random crop of aspect 3/4 to 4/3 resized to `size` x `size`, half of them mirrored, then RandAugment.

    Args:
        scale: share of the image's area that a crop has.
        auto_augment: timm's name of an augmentation, None for none; colours are not changed beside it.
        re_prob: share of images with a random rectangle erased.

    Raises:
        InputError: an augmentation that timm does not know.
    """
    smallest, largest = scale
    try:
        transform = create_transform(
            size,
            is_training=True,
            scale=(smallest, largest),
            ratio=_ASPECTS,
            hflip=0.5,
            color_jitter=None,  # type: ignore[arg-type]  # timm takes None, for no jitter, but does not say so
            auto_augment=auto_augment,
            interpolation="bicubic",
            re_prob=re_prob,
            re_mode="pixel",
            mean=tuple(mean),
            std=tuple(std),
        )
    except (AssertionError, KeyError, ValueError) as error:
        raise InputError(
            f"auto_augment {auto_augment!r} is unknown to timm ({error}); correct it, or give null."
        ) from error
    for step in transform.transforms:
        for operation in getattr(step, "ops", ()):
            if operation.aug_fn is auto_augment_ops.posterize:
                operation.aug_fn = _posterize
    return transform


def _posterize(image: Image.Image, bits: int, **options: Any) -> Image.Image:
    """timm's, which at its highest levels keeps no bit: black once, now refused by Pillow."""
    return auto_augment_ops.posterize(image, bits, **options) if bits > 0 else Image.new(image.mode, image.size)


def probe_transform(size: int, mean: Sequence[float] = CLIP_MEAN, std: Sequence[float] = CLIP_STD) -> Transform:
    """Linear probes: one draw of a crop, half of them mirrored, nothing else."""
    return T.Compose(
        [
            RandomCropOnce(size, scale=(0.08, 1.0), ratio=_ASPECTS, interpolation=T.InterpolationMode.BICUBIC),
            T.RandomHorizontalFlip(),
            T.ToTensor(),
            T.Normalize(tuple(mean), tuple(std)),
        ]
    )


class RandomCropOnce(T.RandomResizedCrop):
    """A resized crop as TensorFlow's recipes draw it: once, cut down to the image where it is too wide or too high.

    torchvision's own draws again, up to ten times, until a crop fits.
    """

    @staticmethod
    def get_params(
        img: Image.Image | Tensor, scale: Sequence[float], ratio: Sequence[float]
    ) -> tuple[int, int, int, int]:
        """Top, left, height and width in pixels."""
        _, height, width = T.functional.get_dimensions(img)
        area = height * width * random.uniform(*scale)
        aspect = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        crop_width = min(max(round(math.sqrt(area * aspect)), 1), width)
        crop_height = min(max(round(math.sqrt(area / aspect)), 1), height)
        top, left = random.randint(0, height - crop_height), random.randint(0, width - crop_width)
        return top, left, crop_height, crop_width
