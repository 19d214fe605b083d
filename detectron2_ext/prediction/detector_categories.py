"""Look up the categories of a detector: in the config of its run, next to its weights or in the registered dataset."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog
from omegaconf import OmegaConf

from eva_engine.config.class_list import stored_categories
from eva_engine.prediction.categories import Categories, match_names


def find_categories(cfg: Any, weights: str | Path) -> tuple[Categories | None, str]:
    """Return the categories of a model, or None, and a description of where they were found.

    They are those that the run stored, or else those registered for the config's test dataset.
    """
    stored, source = stored_categories(cfg, weights)
    if stored is not None:
        return stored, source
    dataset_names = OmegaConf.select(cfg, "dataloader.test.dataset.names", default=None) or []
    if isinstance(dataset_names, str):
        dataset_names = [dataset_names]
    return _registered_categories(dataset_names), f"the config's dataset {', '.join(dataset_names)}"


def _registered_categories(dataset_names: Sequence[str]) -> Categories | None:
    for dataset_name in dataset_names:
        # MetadataCatalog.get would create an empty entry for an unknown name.
        if dataset_name not in MetadataCatalog:
            continue
        metadata = MetadataCatalog.get(dataset_name)
        class_names = metadata.get("thing_classes")
        if class_names:
            return Categories(tuple(class_names), _registered_ids(metadata, len(class_names)))
    return None


def _registered_ids(metadata: Any, num_classes: int) -> tuple[int, ...]:
    id_to_index = metadata.get("thing_dataset_id_to_contiguous_id")
    if id_to_index:
        return tuple(sorted(id_to_index, key=id_to_index.get))
    # Detectron2's LVIS loader relies on the ids being 1, 2, ... and registers no table.
    first = 1 if metadata.get("evaluator_type") == "lvis" else 0
    return tuple(range(first, first + num_classes))


def match_categories(categories: Categories | None, num_classes: int, source: str) -> Categories:
    """Check that `categories` fit the model and return them; without any, name the classes as `match_names` does.

    Args:
        categories: Categories found in `source`, or None.
        num_classes: Number of classes of the model.
        source: Where the categories were found, for messages.

    Raises:
        InputError: The number of categories differs from `num_classes`.
    """
    if categories is None:
        return Categories(match_names(None, num_classes, source), tuple(range(num_classes)))
    match_names(categories.names, num_classes, source)
    return categories
