"""Check a recipe and its data before a billion parameters are built."""

from pathlib import Path

from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError

from .registered_datasets import check_registered


def check_sections(cfg: DictConfig, *sections: str) -> None:
    """Check that a config has the given sections, such as "model" or "optimizer".

    Raises:
        InputError: One is missing.
    """
    for section in sections:
        if section not in cfg:
            raise InputError(f"the config has no {section}; give a recipe of projects/, or the config.yaml of a run")


def check_datasets(cfg: DictConfig, training: bool) -> None:
    """Check that the datasets in `cfg` are registered, and that their annotation files and image folders exist.

    Args:
        cfg: The recipe; its test data is checked if it is used.
        training: Check the training data too.

    Raises:
        InputError: A dataset, file or folder is missing, or there is neither training nor an evaluator.
    """
    if not training and cfg.dataloader.get("evaluator") is None:
        raise InputError("this config has no dataloader.evaluator, it can only be trained; give one that evaluates")
    if training:
        _check_loader(cfg, "train")
    if uses_test_data(cfg):
        _check_loader(cfg, "test")


def uses_test_data(cfg: DictConfig) -> bool:
    """Return whether the dataset of `dataloader.test` is read: by an evaluator, or for validation losses."""
    has_own_data = OmegaConf.select(cfg, "dataloader.validation", default=None) is not None
    needs_loss = OmegaConf.select(cfg, "train.validation_loss", default=False) and not has_own_data
    return cfg.dataloader.get("evaluator") is not None or needs_loss


def _check_loader(cfg: DictConfig, loader: str) -> None:
    """Check the dataset of `dataloader.train` or `dataloader.test`."""
    names = OmegaConf.select(cfg, f"dataloader.{loader}.dataset.names") or []
    if isinstance(names, str):
        names = [names]
    for name in names:
        check_registered(name)
    root = OmegaConf.select(cfg, f"dataloader.{loader}.dataset.root")
    # A named dataset, such as hfds/NAME, is downloaded by timm, so its folder may not exist yet.
    if root and not cfg.dataloader[loader].dataset.get("name") and not Path(root).exists():
        raise InputError(
            f"the image folder {root} does not exist; set dataloader.{loader}.dataset.root to the right one"
        )


def check_batch_size(cfg: DictConfig, num_processes: int | None = None) -> None:
    """Check that the images of an iteration can be divided among the processes and their micro-batches.

    Args:
        cfg: The recipe.
        num_processes: Number of processes of the run; None for the current number.

    Raises:
        InputError: The batch size is not a multiple of processes times micro-batches.
    """
    batch_size = OmegaConf.select(cfg, "dataloader.train.total_batch_size")
    num_processes = num_processes or comm.get_world_size()
    num_micro_batches = cfg.train.accumulation_steps
    if num_micro_batches < 1:
        raise InputError(f"train.accumulation_steps={num_micro_batches} is out of range; give 1 or more")
    divisor = num_processes * num_micro_batches
    if batch_size is not None and (batch_size < 1 or batch_size % divisor != 0):
        receivers = f"{num_processes} processes"
        if num_micro_batches > 1:
            receivers += f" in {num_micro_batches} micro-batches each (train.accumulation_steps)"
        raise InputError(
            f"dataloader.train.total_batch_size={batch_size} cannot be split among {receivers}; "
            f"give a multiple of {divisor}"
        )
