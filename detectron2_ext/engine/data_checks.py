"""Data problems that can be told before a billion parameters are built."""

from collections.abc import Sequence
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError


def check_datasets(cfg: DictConfig, training: bool) -> None:
    """Whether the data sets that `cfg` names are registered and their annotation files exist.

    Args:
        training: look at the training data too; evaluation data counts where there is an evaluator.

    Raises:
        InputError: names the data set and the file that is missing.
    """
    has_evaluator = cfg.dataloader.get("evaluator") is not None
    for loader in ["train"] * training + ["test"] * has_evaluator:
        names = OmegaConf.select(cfg, f"dataloader.{loader}.dataset.names")
        for name in [names] if isinstance(names, str) else names or []:
            _check_dataset(name, f"dataloader.{loader}.dataset.names")


def _check_dataset(name: str, key: str) -> None:
    if name not in DatasetCatalog:
        known = ", ".join(_similar(name, DatasetCatalog.list()))
        raise InputError(f"{key}={name} is no registered data set; known are, among others, {known}")
    file = getattr(MetadataCatalog.get(name), "json_file", None)
    if file is not None and "://" not in file and not Path(file).is_file():
        raise InputError(
            f"the data set {name} needs {file}, which does not exist; set DETECTRON2_DATASETS to the folder that "
            "holds the data sets (datasets/README.md shows its layout)"
        )


def _similar(name: str, known: Sequence[str]) -> list[str]:
    start = name.split("_")[0]
    return [other for other in known if other.startswith(start)][:5] or list(known)[:5]


def check_batch_size(cfg: DictConfig) -> None:
    """Whether the images of an iteration divide among the processes.

    Raises:
        InputError: they do not.
    """
    batch = OmegaConf.select(cfg, "dataloader.train.total_batch_size")
    world = comm.get_world_size()
    if batch is not None and (batch < 1 or batch % world):
        raise InputError(
            f"dataloader.train.total_batch_size={batch} cannot be split among {world} processes; "
            f"give a multiple of {world}"
        )
