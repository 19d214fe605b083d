"""What the outputs of a video classifier are called."""

from typing import Any

from omegaconf import OmegaConf

from eva_engine.prediction.categories import match_names

from ..data.annotation_files import read_class_numbers


def find_class_names(cfg: Any, num_classes: int) -> tuple[str, ...]:
    """A name for each output, from `dataloader.class_names` of the recipe; numbers where it has none.

    Raises:
        InputError: names that `read_class_numbers` cannot read, or of another number of classes.
    """
    numbers = read_class_numbers(OmegaConf.select(cfg, "dataloader.class_names", default=None))
    names = None
    if numbers is not None:
        name_of = {number: name for name, number in numbers.items()}
        names = [name_of.get(number, f"class {number}") for number in range(max(name_of, default=-1) + 1)]
    return match_names(names, num_classes, "dataloader.class_names")
