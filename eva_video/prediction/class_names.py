"""What the outputs of a video classifier are called."""

from typing import Any

from omegaconf import OmegaConf

from detectron2_ext.prediction.categories import match_names

from ..kinetics import kinetics_names


def find_class_names(cfg: Any, num_classes: int) -> tuple[str, ...]:
    """A name for each output, from `dataloader.class_names` of the recipe; numbers where it has none.

    Raises:
        InputError: the name of a set of classes that is not known, or names of another number of classes.
    """
    names = OmegaConf.select(cfg, "dataloader.class_names", default=None)
    if names is not None:
        names = kinetics_names(names) if isinstance(names, str) else tuple(str(name) for name in names)
    return match_names(names, num_classes, "dataloader.class_names")
