"""What the outputs of a classifier are called, as far as its recipe says."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from timm.data import ImageNetInfo

from eva_backbone.errors import InputError
from eva_engine.prediction.categories import match_names

from ..data.class_maps import NUM_CLASSES, named_class_map, read_class_map


def find_class_names(cfg: Any, num_classes: int) -> tuple[str, ...]:
    """A name for each output, from the class map of the recipe's test or else training data; numbers where it has none.

    ImageNet's classes get their English names. Numbers that no class has are named by the number.

    Raises:
        InputError: a class map that cannot be read, or with more classes than the model.
    """
    for loader in ("test", "train"):
        class_map, root = (
            OmegaConf.select(cfg, f"dataloader.{loader}.dataset.{key}", default=None) for key in ("class_map", "root")
        )
        if OmegaConf.is_dict(class_map) and "_target_" in class_map:
            class_map = None  # made from a data set that need not be here
        if class_map:
            return _names(class_map, num_classes, root or "")
    return match_names(None, num_classes, "the recipe")


def _names(class_map: Mapping[str, int] | str, num_classes: int, root: str) -> tuple[str, ...]:
    if isinstance(class_map, str):
        known = named_class_map(class_map)
        if known is not None:
            # A model of all classes is often evaluated on a part of them.
            numbers = list(known.values()) if num_classes == len(known) else range(NUM_CLASSES)
            return _fitting(dict(enumerate(_imagenet_names(numbers))), num_classes, class_map)
        try:
            numbers_of = read_class_map(class_map, root)
        except InputError as error:
            raise InputError(f"the recipe's class map {class_map} cannot be read; give --class-names.") from error
        return _fitting({number: name for name, number in numbers_of.items()}, num_classes, class_map)
    return _fitting({int(number): str(name) for name, number in class_map.items()}, num_classes, "the recipe")


def _fitting(names: Mapping[int, str], num_classes: int, source: str) -> tuple[str, ...]:
    if max(names) >= num_classes:
        raise InputError(
            f"{source} names {max(names) + 1} classes, the model has {num_classes}: give the right names by "
            "--class-names."
        )
    return tuple(names.get(number, f"class {number}") for number in range(num_classes))


def _imagenet_names(numbers: Any) -> tuple[str, ...]:
    info = ImageNetInfo()
    return tuple(info.index_to_description(number) for number in numbers)
