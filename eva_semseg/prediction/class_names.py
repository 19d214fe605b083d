"""What the classes of a segmentation model are called, as far as its recipe says."""

from typing import Any

from detectron2.data import MetadataCatalog
from omegaconf import OmegaConf

import eva_semseg.data  # noqa: F401  registers the data sets that recipes name
from detectron2_ext.prediction.categories import read_categories


def find_class_names(cfg: Any) -> tuple[tuple[str, ...] | None, str]:
    """Names of the recipe's test or else training data, and where they were found; None if there are none.

    Raises:
        InputError: a list of classes that cannot be read.
    """
    for loader in ("test", "train"):
        dataset = OmegaConf.select(cfg, f"dataloader.{loader}.dataset", default=None)
        if dataset is None:
            continue
        own = dataset.get("class_names")
        if own is not None:
            return (read_categories(own).names if isinstance(own, str) else tuple(own)), f"dataloader.{loader}.dataset"
        if dataset.get("names"):
            names = MetadataCatalog.get(dataset.names).get("stuff_classes")
            return (tuple(names) if names else None), dataset.names
    return None, "the config"
