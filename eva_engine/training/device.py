"""Device of a run: CUDA if available, else the CPU in float32."""

import logging

import torch
from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_engine.inference_precision import has_instructions

logger = logging.getLogger(__name__)


def processes_per_machine(num_gpus: int, device: str) -> int:
    """Return the number of processes to start for `--num-gpus`.

    That is one per GPU, or with `train.device=cpu` as many on the CPU. A recipe for CUDA runs in a single process on a
    machine without a GPU.

    Raises:
        InputError: Fewer GPUs than requested, or a `device` that PyTorch does not know.
    """
    try:
        torch.device(device)
    except RuntimeError as error:
        raise InputError(f"train.device={device} is not a device; give cuda or cpu") from error
    if num_gpus < 1:
        raise InputError(f"--num-gpus is {num_gpus}, but must be at least 1, also on a machine without a GPU")
    if device == "cpu":
        return num_gpus
    if not torch.cuda.is_available():
        return 1
    available = torch.cuda.device_count()
    if num_gpus > available:
        raise InputError(
            f"--num-gpus {num_gpus} was given, but this machine has {available}; use --num-gpus {available}"
        )
    return num_gpus


def resolve_device(cfg: DictConfig) -> None:
    """Replace settings of `cfg` that this machine does not support (CUDA, float16 on a CPU), and log each change."""
    device = str(cfg.train.device)
    if device.startswith("cuda") and not torch.cuda.is_available():
        logger.info("No CUDA device: running on the CPU in float32, in one process per machine")
        cfg.train.device = device = "cpu"
        cfg.train.amp.enabled = False
    if device == "cpu":
        cfg.train.ddp.fp16_compression = False
        if cfg.train.amp.enabled and cfg.train.amp.dtype == "float16":
            logger.info("float16 is meant for CUDA: running in float32")
            cfg.train.amp.enabled = False
        if cfg.train.amp.enabled and not has_instructions(torch.device(device), torch.bfloat16):
            logger.warning(
                "this processor has no instructions for bfloat16, in which a step takes many times as long as in "
                "float32; set train.amp.enabled=False"
            )
