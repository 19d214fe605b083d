"""Find the class names of a classifier from its recipe."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from timm.data import ImageNetInfo

from eva_backbone.errors import InputError
from eva_engine.config.class_list import stored_categories
from eva_engine.prediction.categories import match_names

from ..data.class_maps import NUM_CLASSES, load_class_map, named_class_map, read_class_map


def find_class_names(cfg: Any, num_classes: int, weights: str | Path = "") -> tuple[str, ...]:
    """Return a name for each output of the model.

    The names are those that the run stored in its config or next to `weights`; else those of the class map of the
    recipe's test data, or of its training data. ImageNet's classes get their English names. Outputs without a name are
    called "class 0", "class 1", and so on.

    Raises:
        InputError: The class map cannot be read or has more classes than the model.
    """
    stored, source = stored_categories(cfg, weights)
    if stored is not None:
        return _complete(dict(enumerate(stored.names)), num_classes, source)
    for loader in ("test", "train"):
        class_map = OmegaConf.select(cfg, f"dataloader.{loader}.dataset.class_map", default=None)
        root = OmegaConf.select(cfg, f"dataloader.{loader}.dataset.root", default=None)
        if OmegaConf.is_dict(class_map) and "_target_" in class_map:
            continue  # it would be computed from the dataset, which prediction does not need
        if class_map:
            return _names_of_class_map(class_map, num_classes, root or "")
    return match_names(None, num_classes, "the recipe")


def _names_of_class_map(
    class_map: Mapping[str, int] | Sequence[str] | str, num_classes: int, root: str
) -> tuple[str, ...]:
    if not isinstance(class_map, str):
        name_of = {index: name for name, index in (load_class_map(class_map, root) or {}).items()}
        return _complete(name_of, num_classes, "the recipe")
    known = named_class_map(class_map)
    if known is not None:
        # A model with all classes of ImageNet is often evaluated on a subset of them.
        indices = list(known.values()) if num_classes == len(known) else range(NUM_CLASSES)
        return _complete(dict(enumerate(_imagenet_names(indices))), num_classes, class_map)
    try:
        index_of = read_class_map(class_map, root)
    except InputError as error:
        raise InputError(
            f"the recipe's class map {class_map} cannot be read; give the names with --class-names."
        ) from error
    return _complete({index: name for name, index in index_of.items()}, num_classes, class_map)


def _complete(name_of: Mapping[int, str], num_classes: int, source: str) -> tuple[str, ...]:
    """Return the names in the order of the indices, with "class N" for missing ones."""
    if max(name_of) >= num_classes:
        raise InputError(
            f"{source} has {max(name_of) + 1} class names, but the model has {num_classes} classes; give the right "
            "names with --class-names."
        )
    return tuple(name_of.get(index, f"class {index}") for index in range(num_classes))


def _imagenet_names(indices: Iterable[int]) -> tuple[str, ...]:
    info = ImageNetInfo()
    return tuple(info.index_to_description(index) for index in indices)
