"""Where a run takes place: CUDA where there is some, else the CPU in float32."""

import logging

import torch
from omegaconf import DictConfig

from eva_backbone.errors import InputError

logger = logging.getLogger(__name__)


def processes_per_machine(num_gpus: int) -> int:
    """Processes to start for `--num-gpus`: one per GPU, or a single one on a machine without CUDA.

    Raises:
        InputError: fewer GPUs than asked for.
    """
    if num_gpus < 1:
        raise InputError(f"--num-gpus {num_gpus} starts nothing; give 1 or more (1 also on a machine without a GPU)")
    if not torch.cuda.is_available():
        return 1
    present = torch.cuda.device_count()
    if num_gpus > present:
        raise InputError(f"--num-gpus {num_gpus} was given, but this machine has {present}; use --num-gpus {present}")
    return num_gpus


def settle_device(cfg: DictConfig) -> None:
    """Where `cfg` asks for CUDA and there is none, change it to the CPU and float32, and say so in one line."""
    if str(cfg.train.device).startswith("cuda") and not torch.cuda.is_available():
        logger.info("No CUDA device: running on the CPU in float32, in one process per machine")
        cfg.train.device = "cpu"
    if not str(cfg.train.device).startswith("cuda"):
        cfg.train.amp.enabled = False
        cfg.train.ddp.fp16_compression = False
