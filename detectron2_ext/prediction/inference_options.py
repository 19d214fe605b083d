"""The options of `predict` and `evaluate` for slices and test-time augmentation."""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError

from ..modeling.test_time_augmentation import DEFAULT_SCALES, TestTimeAugmentation
from .slices import Slices


def make_slices(slice_size: int | None, overlap: float | None = None, full_image: bool = False) -> Slices | None:
    """Return the slices with the defaults of what was not given; None without a size.

    Raises:
        InputError: A value is out of range, or there is no size to which the other options belong.
    """
    if slice_size is not None:
        return Slices(slice_size, 0.2 if overlap is None else overlap, full_image)
    if overlap is not None or full_image:
        raise InputError("--overlap and --full-image belong to slices; add --slice PIXELS (slice_size in Python).")
    return None


def slices_of_recipe(cfg: DictConfig) -> Slices | None:
    """Return the slices in which the evaluations of a recipe predict images; None if they predict whole images."""
    options = OmegaConf.select(cfg, "dataloader.inference", default=None)
    if options is None:
        return None
    return make_slices(options.slice_size, options.overlap, options.full_image)


def make_augmentation(tta: bool, scales: Sequence[float] | None = None) -> TestTimeAugmentation | None:
    """Return the test-time augmentation, if it was asked for by `tta` or by its scales.

    Raises:
        InputError: A scale is not positive.
    """
    if not tta and scales is None:
        return None
    return TestTimeAugmentation(DEFAULT_SCALES if scales is None else scales)
