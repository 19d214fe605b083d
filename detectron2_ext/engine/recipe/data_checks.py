"""Data problems that can be told before a billion parameters are built."""

from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf

from detectron2_ext.data import check_registered
from eva_backbone.errors import InputError


def check_datasets(cfg: DictConfig, training: bool) -> None:
    """Whether the data sets that `cfg` names are registered and their annotation files exist.

    Args:
        training: look at the training data too; evaluation data counts where there is an evaluator.

    Raises:
        InputError: names the data set or the file that is missing.
    """
    has_evaluator = cfg.dataloader.get("evaluator") is not None
    for loader in ["train"] * training + ["test"] * has_evaluator:
        names = OmegaConf.select(cfg, f"dataloader.{loader}.dataset.names")
        for name in [names] if isinstance(names, str) else names or []:
            check_registered(name)


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
