"""What the classes of a segmentation model are called, as far as its recipe says."""

from typing import Any

from detectron2.data import MetadataCatalog
from omegaconf import OmegaConf

import eva_semseg.data  # noqa: F401  registers the data sets that recipes name
from eva_engine.prediction.categories import match_names, read_categories


def find_class_names(cfg: Any, num_classes: int) -> tuple[str, ...]:
    """A name for each class, from the recipe's test or else training data; numbers where they have none.

    Raises:
        InputError: a list of classes that cannot be read, or of another length.
    """
    for loader in ("test", "train"):
        dataset = OmegaConf.select(cfg, f"dataloader.{loader}.dataset", default=None)
        if dataset is None:
            continue
        own = dataset.get("class_names")
        if own is not None:
            names = read_categories(own).names if isinstance(own, str) else tuple(own)
            return match_names(names, num_classes, f"dataloader.{loader}.dataset")
        if dataset.get("names"):
            registered = MetadataCatalog.get(dataset.names).get("stuff_classes")
            return match_names(registered or None, num_classes, dataset.names)
    return match_names(None, num_classes, "the config")
