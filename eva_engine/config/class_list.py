"""One class list for all verbs: made by training, stored with the run, used in evaluation and prediction."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.utils.registry import locate
from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.prediction.categories import Categories, coco_categories, match_names, read_categories
from eva_engine.published_weights.weight_path import weight_path

from .data_checks import check_datasets, uses_test_data
from .literal_strings import from_literal, to_literal

STORED_LIST = "${dataloader.categories}"
CATEGORIES_FILE = "categories.json"


def settle_class_list(cfg: DictConfig, training: bool, resume: bool = False) -> None:
    """Make the training and test data of `cfg` use one class list, and store it in `cfg.dataloader.categories`.

    The list is that of the run that is resumed or whose weights are evaluated, else that of the training data. A class
    of datasets takes part if it has a function `use_class_list(cfg, train, test, stored)`. This gets the configs of the
    datasets, None for one that is not used, and the list of the run or None; it changes them, and calls
    :func:`store_class_list`.

    Args:
        cfg: The recipe; modified in place.
        training: Whether the run trains; otherwise it only evaluates `train.init_checkpoint`.
        resume: Whether it continues the run in `train.output_dir`.

    Raises:
        InputError: The datasets are missing, or their classes do not fit those of the run.
    """
    check_datasets(cfg, training)
    stored = None
    if resume or not training:
        weights = Path(cfg.train.output_dir, "weights") if training else weight_path(cfg.train.init_checkpoint)
        stored, _ = stored_categories(cfg, weights)
    configs: list[DictConfig | None] = []
    hook = None
    for loader, is_used in (("test", uses_test_data(cfg)), ("train", training)):
        dataset = None
        if is_used:
            dataset = OmegaConf.select(cfg, f"dataloader.{loader}.dataset")
            hook = _class_list_hook(dataset)  # in training, that of the training data
            if hook is None:
                dataset = None
        configs.insert(0, dataset)
    if hook is not None:
        hook(cfg, *configs, None if stored is None else stored.names)


def _class_list_hook(dataset: DictConfig | None) -> Callable[..., None] | None:
    """Return the function `use_class_list` of the class of a dataset, or None."""
    if dataset is None:
        return None
    target = OmegaConf.select(dataset, "_target_", default=None)
    if isinstance(target, str):
        target = locate(target)
    return getattr(target, "use_class_list", None)


def store_class_list(cfg: DictConfig, names: Sequence[str]) -> None:
    """Set `cfg.dataloader.categories`; raise `InputError` for names that a config would read as something else."""
    for name in names:
        if "${" in name or name == "???":
            raise InputError(f"the class name {name!r} cannot be stored in a config; rename the class.")
    cfg.dataloader.categories = list(names)


def store_categories(cfg: DictConfig, categories: Mapping[int, str]) -> None:
    """Set `cfg.dataloader.categories` to {category id: class name}, in the order of the model's classes."""
    cfg.dataloader.categories = [{"id": i, "name": to_literal(name)} for i, name in categories.items()]


def check_same_indices(own: Mapping[str, int], stored: Mapping[str, int], source: str) -> None:
    """Raise `InputError` if a class of `source` has another index in the class list of the run."""
    for name, index in own.items():
        if stored.get(name, index) != index:
            raise InputError(
                f"{name!r} is class {index} in {source}, but class {stored[name]} in the class list of the training; "
                "give both in the same order."
            )


def save_categories(cfg: DictConfig, folder: str | Path) -> None:
    """Write the class names and ids of `cfg`, if it has any, to `folder`/categories.json, in COCO's format."""
    stored, _ = stored_categories(cfg, "")
    if stored is not None:
        rows = [{"id": number, "name": name} for number, name in zip(stored.ids, stored.names, strict=True)]
        with atomic_path(Path(folder, CATEGORIES_FILE)) as file:
            file.write_text(json.dumps({"categories": rows}, indent=1, ensure_ascii=False), encoding="utf-8")


def stored_categories(cfg: Any, weights: str | Path) -> tuple[Categories | None, str]:
    """Return the categories that a run stored, or None, and a description of where they were found.

    They are in `dataloader.categories` of the config of the run, and in `categories.json` next to its weights.

    Raises:
        InputError: The entry of the config is not what training writes.
    """
    configured = OmegaConf.select(cfg, "dataloader.categories", default=None)
    if configured:
        content = OmegaConf.to_container(configured) if OmegaConf.is_config(configured) else None
        return _parse_categories(content), "the config"
    file = Path(weights).parent / CATEGORIES_FILE
    if str(weights) and file.is_file():
        return read_categories(file), str(file)
    return None, ""


def _parse_categories(content: Any) -> Categories:
    """Return what `store_class_list` wrote, a list of names, or `store_categories`, a list of ids and names."""
    rows: list[Any] = content if isinstance(content, list) else [None]
    if all(isinstance(row, str) for row in rows):
        return Categories(tuple(rows), tuple(range(len(rows))))
    categories = coco_categories(rows, "dataloader.categories of the config")
    return Categories(tuple(map(from_literal, categories.names)), categories.ids)


def match_given_names(names: Sequence[str], num_classes: int, cfg: Any, weights: str | Path) -> tuple[str, ...]:
    """Check class names of the user against the number of classes, and against the list that the run stored.

    Raises:
        InputError: Their number differs, or one is the stored name of another class.
    """
    names = match_names(names, num_classes, "the list given")
    stored, source = stored_categories(cfg, weights)
    known = () if stored is None else stored.names
    for index, (name, own) in enumerate(zip(names, known, strict=False)):
        if name != own and name in known:
            raise InputError(
                f"the list given has {name!r} as class {index}, which is {own!r} in {source}; give the names in the "
                "order of the training."
            )
    return names
