"""One class list for the image folders of a run."""

import os
from collections.abc import Sequence
from typing import Any

from detectron2.config import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from eva_engine.config.class_list import STORED_LIST, check_same_indices, store_class_list
from eva_engine.data.folder_files import list_folders

from .class_folders import check_num_classes, find_split
from .class_maps import load_class_map


def use_class_list(
    cfg: DictConfig, train: DictConfig | None, test: DictConfig | None, stored: Sequence[str] | None
) -> None:
    """Make the configs of training and test data use the same class indices.

    The indices are those of the run; else of the training data's class map, or of its folders. Class maps that are
    known by a name, and those that are dicts, are not stored, because the config has them already.

    Raises:
        InputError: The class maps differ, or the test data has other classes.
    """
    labelled = [dataset for dataset in (train, test) if dataset is not None and dataset.get("has_labels", True)]
    # Pre-training needs no labels, and named datasets have their own lists.
    if any(dataset.get("name") for dataset in labelled) or (train is not None and train.get("num_classes") is None):
        return
    given = [_given_class_map(dataset) for dataset in labelled]
    names = stored
    if names is None and train is not None and labelled and labelled[0] is train:
        is_list = isinstance(train.get("class_map"), ListConfig) or str(train.get("class_map")).endswith(".txt")
        if given[0] is None:
            names = _folder_names(train)
        elif is_list:
            names = list(given[0])
    indices = given[0] if names is None and given else {name: index for index, name in enumerate(names or ())}
    if train is not None and names is not None and indices is not None:
        check_num_classes(indices, train.num_classes, train.root, is_numbered_by_folder=given[0] is None)
    if names is not None:
        store_class_list(cfg, names)
    for dataset, own in zip(labelled, given, strict=True):
        if own is not None and indices:
            check_same_indices(own, indices, f"the class map of {dataset.root}")
        if names is not None and (own is None or own == indices):
            dataset.class_map = STORED_LIST
        elif own is None and indices:
            dataset.class_map = "${dataloader.train.dataset.class_map}"
    if test is not None:
        instantiate(test)  # errors are to be found before the model is built


def _given_class_map(dataset: DictConfig) -> dict[str, int] | None:
    """Return the class map of a config, None if it has none but, at most, the list of an earlier run."""
    if "class_map" not in dataset or _is_stored(dataset):
        return None
    return load_class_map(instantiate(dataset.class_map), dataset.root)


def _is_stored(dataset: DictConfig) -> bool:
    raw: Any = OmegaConf.to_container(dataset, resolve=False)
    return raw["class_map"] == STORED_LIST


def _folder_names(train: DictConfig) -> list[str]:
    """Return the names of the class folders; a large dataset is not searched for its images."""
    if os.path.isdir(train.root) and train.get("listing") is None:
        split = find_split(train.root, train.get("split", "train"))
        names = list_folders(os.path.join(train.root, split))
        if len(names) > 1:
            return names
    return list(instantiate({**train, "class_map": None}).class_numbers)
