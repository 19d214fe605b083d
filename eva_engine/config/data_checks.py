"""Data problems that can be told before a billion parameters are built."""

from pathlib import Path

from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError

from .registered_datasets import check_registered


def check_datasets(cfg: DictConfig, training: bool) -> None:
    """Whether the data sets that `cfg` names are registered and their annotation files and image folders exist.

    Args:
        training: look at the training data too; evaluation data counts where there is an evaluator.

    Raises:
        InputError: names the data set, file or folder that is missing; nothing to do without training.
    """
    has_evaluator = cfg.dataloader.get("evaluator") is not None
    if not training and not has_evaluator:
        raise InputError("this config has no dataloader.evaluator, it only trains; give one that evaluates")
    for loader in ["train"] * training + ["test"] * has_evaluator:
        names = OmegaConf.select(cfg, f"dataloader.{loader}.dataset.names")
        for name in [names] if isinstance(names, str) else names or []:
            check_registered(name)
        root = OmegaConf.select(cfg, f"dataloader.{loader}.dataset.root")
        if root and not cfg.dataloader[loader].dataset.get("name") and not Path(root).exists():
            raise InputError(
                f"the image folder {root} does not exist; give the right one with dataloader.{loader}.dataset.root"
            )


def check_batch_size(cfg: DictConfig, num_processes: int | None = None) -> None:
    """Whether the images of an iteration divide among the processes, and a process's among its parts.

    num_processes: of the run; None: those that there are.

    Raises:
        InputError: they do not.
    """
    batch = OmegaConf.select(cfg, "dataloader.train.total_batch_size")
    world, parts = num_processes or comm.get_world_size(), cfg.train.accumulation_steps
    if parts < 1:
        raise InputError(f"train.accumulation_steps={parts} takes no images; give 1 or more")
    if batch is not None and (batch < 1 or batch % (world * parts)):
        among = f"{world} processes" + (f" in {parts} parts each (train.accumulation_steps)" if parts > 1 else "")
        raise InputError(
            f"dataloader.train.total_batch_size={batch} cannot be split among {among}; "
            f"give a multiple of {world * parts}"
        )
