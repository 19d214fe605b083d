"""The options of `predict` and `evaluate` for sliding windows."""

from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError
from eva_engine.tasks import MAX_OVERLAP, MIN_SLICE

DEFAULT_OVERLAP = 0.2


def set_windows(cfg: DictConfig, *, slice_size: int | None = None, overlap: float | None = None) -> None:
    """Set the sliding windows of a recipe, unless no option is given.

    Args:
        cfg: Recipe of a segmentation model; modified in place.
        slice_size: Side of the square windows, in pixels of the resized image; None keeps those of the recipe.
        overlap: Fraction of its side that a window shares with the next one, 0 to 0.9, by default 0.2.

    Raises:
        InputError: A size below `MIN_SLICE`, an overlap without a size or above `MAX_OVERLAP`, or a recipe without
            sliding windows.
    """
    if slice_size is None:
        if overlap is not None:
            raise InputError("--overlap belongs to windows of a given size; add --slice PIXELS (slice_size in Python).")
        return
    windows = OmegaConf.select(cfg, "model.inference.windows", default=None)
    if windows is None:
        raise InputError(
            "the config has no model.inference.windows, which --slice sets; give a config for semantic segmentation, "
            "such as projects/SemSeg/configs/ade20k_ss.py."
        )
    if slice_size < MIN_SLICE:
        raise InputError(
            f"windows of {slice_size} pixels are too small; give a side of at least {MIN_SLICE} pixels, such as 512."
        )
    overlap = DEFAULT_OVERLAP if overlap is None else overlap
    if not 0 <= overlap <= MAX_OVERLAP:
        raise InputError(f"the overlap of windows is {overlap}; give a fraction from 0 to {MAX_OVERLAP}.")
    stride = slice_size - round(overlap * slice_size)
    windows.size, windows.stride = [slice_size, slice_size], [stride, stride]
