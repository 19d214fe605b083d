"""Image transforms of EVA-CLIP for training and evaluation."""

from collections.abc import Callable, Sequence

from PIL import Image
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor
from torchvision import transforms as T

Transform = Callable[[Image.Image], Tensor]


def evaluation_transform(size: int = 224) -> Transform:
    """Resize the shorter side to `size` pixels, crop the centre and normalise with CLIP's mean and deviation.

    The transform takes PIL images of every mode. They are converted to RGB after the resize, as for the released
    model. A palette image is therefore resized by nearest neighbour; pass `image.convert("RGB")` to have it
    interpolated.

    Args:
        size: Side of the square crop in pixels.

    Returns:
        A function from a PIL image to a float32 tensor [3, size, size].
    """
    resize = [T.Resize(size, T.InterpolationMode.BICUBIC), T.CenterCrop(size)]
    return T.Compose([*resize, *_to_pixels()])


def training_transform(size: int = 224, scale: Sequence[float] = (0.9, 1.0)) -> Transform:
    """Take a random crop, resize it and normalise it; no other augmentation, so that captions stay true.

    Args:
        size: Side of the resized crop in pixels.
        scale: Range of the fraction of the image's area that a crop covers.

    Returns:
        A function from a PIL image to a float32 tensor [3, size, size].
    """
    crop = T.RandomResizedCrop(size, scale=tuple(scale), interpolation=T.InterpolationMode.BICUBIC)
    return T.Compose([crop, *_to_pixels()])


def _to_pixels() -> list[Callable]:
    """Return the last steps of both transforms: RGB, [0, 1], normalisation."""
    return [_convert_to_rgb, T.ToTensor(), T.Normalize(OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)]


def _convert_to_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")
