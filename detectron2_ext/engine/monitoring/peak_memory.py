"""The most memory a process has held so far."""

import resource
import sys

import torch

GIB = 2**30


def peak_memory_gib(device: str) -> float:
    """Peak in GiB of this process: tensors on `device` if it is a CUDA device, else its whole resident memory."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device) / GIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / GIB
