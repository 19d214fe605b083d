"""Where a run takes place: CUDA where there is some, else the CPU in float32."""

import logging

import torch
from omegaconf import DictConfig

from eva_backbone.errors import InputError

logger = logging.getLogger(__name__)


def processes_per_machine(num_gpus: int, device: str) -> int:
    """Processes to start for `--num-gpus`: one per GPU; with `train.device=cpu` as many on the CPU.

    A recipe for CUDA runs in a single process on a machine that has none.

    Raises:
        InputError: fewer GPUs than asked for, or `device` is none that this PyTorch knows.
    """
    try:
        torch.device(device)
    except RuntimeError as error:
        raise InputError(f"train.device={device} is no device; give cuda or cpu") from error
    if num_gpus < 1:
        raise InputError(f"--num-gpus {num_gpus} starts nothing; give 1 or more (1 also on a machine without a GPU)")
    if device == "cpu":
        return num_gpus
    if not torch.cuda.is_available():
        return 1
    present = torch.cuda.device_count()
    if num_gpus > present:
        raise InputError(f"--num-gpus {num_gpus} was given, but this machine has {present}; use --num-gpus {present}")
    return num_gpus


def settle_device(cfg: DictConfig) -> None:
    """Change what of `cfg` this machine cannot do, and say so in one line: CUDA, and float16 on a CPU."""
    device = str(cfg.train.device)
    if device.startswith("cuda") and not torch.cuda.is_available():
        logger.info("No CUDA device: running on the CPU in float32, in one process per machine")
        cfg.train.device = device = "cpu"
        cfg.train.amp.enabled = False
    if device == "cpu":
        cfg.train.ddp.fp16_compression = False
        if cfg.train.amp.enabled and cfg.train.amp.dtype == "float16":
            logger.info("float16 is meant for CUDA: running in float32; train.amp.dtype=bfloat16 works on a CPU too")
            cfg.train.amp.enabled = False
