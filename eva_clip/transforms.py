"""Images to pixels as EVA-CLIP sees them."""

from collections.abc import Callable, Sequence

from PIL import Image
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor
from torchvision import transforms as T

Transform = Callable[[Image.Image], Tensor]


def evaluation_transform(size: int = 224) -> Transform:
    """The shorter side to `size` pixels, of which the centre is kept, `size` x `size`, with CLIP's statistics.

    It takes images of every mode: they become RGB last, as in the published model. A palette image is thus resized
    by nearest neighbour; give `image.convert("RGB")` to have it interpolated.
    """
    resize = [T.Resize(size, T.InterpolationMode.BICUBIC), T.CenterCrop(size)]
    return T.Compose([*resize, *_to_pixels()])


def training_transform(size: int = 224, scale: Sequence[float] = (0.9, 1.0)) -> Transform:
    """A random crop, resized to `size` x `size`; nothing else is changed, so that captions stay true.

    Args:
        scale: share of the image's area that a crop has.
    """
    crop = T.RandomResizedCrop(size, scale=tuple(scale), interpolation=T.InterpolationMode.BICUBIC)
    return T.Compose([crop, *_to_pixels()])


def _to_pixels() -> list[Callable]:
    return [_convert_to_rgb, T.ToTensor(), T.Normalize(OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)]


def _convert_to_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")
