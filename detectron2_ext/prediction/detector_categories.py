"""Which categories belong to a detector: from the config of its run, its folder or the registered data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detectron2.data import MetadataCatalog
from omegaconf import OmegaConf

from eva_engine.prediction.categories import Categories, match_names, read_categories


def find_categories(cfg: Any, weights: str | Path) -> tuple[Categories | None, str]:
    """Categories that belong to a model, and where they were found.

    In this order: ``dataloader.categories`` of the config of a run on own data; ``categories.json``, which such a run
    leaves beside its weights; the names registered for the config's test data set.
    """
    own = OmegaConf.select(cfg, "dataloader.categories", default=None)
    if own:
        return Categories(tuple(row.name for row in own), tuple(row.id for row in own)), "the config"
    beside = Path(weights).parent / "categories.json"
    if beside.is_file():
        return read_categories(beside), str(beside)
    names = OmegaConf.select(cfg, "dataloader.test.dataset.names", default=None) or []
    names = [names] if isinstance(names, str) else list(names)
    return _dataset_categories(names), f"the config's data set {', '.join(names)}"


def _dataset_categories(dataset_names: Sequence[str]) -> Categories | None:
    for name in dataset_names:
        # MetadataCatalog.get would invent an empty entry for an unknown name.
        metadata = MetadataCatalog.get(name) if name in MetadataCatalog else None
        names = getattr(metadata, "thing_classes", None)
        if names:
            return Categories(tuple(names), _dataset_ids(metadata, len(names)))
    return None


def match_categories(categories: Categories | None, num_classes: int, source: str) -> Categories:
    """Hold ``categories`` to the model; without any, classes are named as by :func:`match_names`.

    Raises:
        InputError: their number differs from the model's.
    """
    names = match_names(None if categories is None else categories.names, num_classes, source)
    return categories or Categories(names, tuple(range(num_classes)))


def _dataset_ids(metadata: Any, num_classes: int) -> tuple[int, ...]:
    id_to_index = getattr(metadata, "thing_dataset_id_to_contiguous_id", None)
    if id_to_index:
        return tuple(sorted(id_to_index, key=id_to_index.get))
    # Detectron2's loader knows LVIS ids to be 1, 2, ... and registers no table.
    first = 1 if getattr(metadata, "evaluator_type", None) == "lvis" else 0
    return tuple(range(first, first + num_classes))
