"""Choose the largest batch that fits: `train.auto_batch`."""

import copy
import logging
from collections.abc import Callable
from pathlib import Path

from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError
from eva_engine.config.yaml_data import read_yaml

from .device_memory import free_memory
from .planner import MemoryPlanner

logger = logging.getLogger(__name__)

BATCH = "dataloader.train.total_batch_size"


def settle_batch(cfg: DictConfig, resume: bool) -> None:
    """Replace the batch size of `cfg` as `train.auto_batch` says, the same in all processes; in place.

    A resumed run keeps the batch that its config.yaml has.

    Raises:
        InputError: Not even the smallest batch fits, or the memory of the recipe cannot be planned.
    """
    if not cfg.train.auto_batch:
        return
    saved = Path(cfg.train.output_dir, "config.yaml")
    if resume and saved.is_file():
        size = OmegaConf.select(OmegaConf.create(read_yaml(saved)), BATCH)
    else:
        device = str(cfg.train.device)
        limit = min(comm.all_gather(free_memory(device, comm.get_local_size())))
        # All processes come to the same result, from the same numbers.
        size = largest_batch(cfg, MemoryPlanner(comm.get_world_size(), report=logger.info), limit)
        logger.info(
            "train.auto_batch=%d: batches of %d fit %.1f GB per process", cfg.train.auto_batch, size, limit / 1e9
        )
    OmegaConf.update(cfg, BATCH, size)


def largest_batch(cfg: DictConfig, planner: MemoryPlanner, limit: int) -> int:
    """Return the largest batch of all processes, at most `train.auto_batch`, whose peak is at most `limit` bytes.

    It is a multiple of processes times micro-batches, and of twice that if the batch of the recipe is, because mixup
    takes pairs.

    Raises:
        InputError: Not even the smallest such batch fits.
    """
    unit = planner.num_ranks * cfg.train.accumulation_steps
    unit *= 2 if OmegaConf.select(cfg, BATCH) % (2 * unit) == 0 else 1

    def fits(number: int) -> bool:
        planned = copy.deepcopy(cfg)
        OmegaConf.update(planned, BATCH, number * unit)
        return planner.plan(planned).peak <= limit

    most = cfg.train.auto_batch // unit
    if most < 1 or not fits(1):
        raise InputError(
            f"train.auto_batch={cfg.train.auto_batch} finds no batch: the smallest one has {unit} samples, which must "
            f"fit {limit / 1e9:.1f} GB; plan --gpu-memory shows what to change"
        )
    return unit * _largest(fits, most)


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest number from 1 to `most` that fits, where 1 does and larger ones need more."""
    low, high = 1, 2
    while high <= most and fits(high):
        low, high = high, 2 * high
    high = min(high, most + 1)  # does not fit, or is not allowed
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
