"""The memory that a process of a run can have on this machine."""

from pathlib import Path

import psutil
import torch

# Bytes that PyTorch's allocator cannot give to tensors: CUDA context, workspaces, fragmentation. An estimate.
CUDA_RESERVE = 10**9
CPU_RESERVE = 10**9  # Python with its packages, and the loader
_CGROUP = Path("/sys/fs/cgroup")


def reserve(device: str) -> int:
    """Return the bytes of a device that tensors cannot have, of those that `plan` is given."""
    return CUDA_RESERVE if device.startswith("cuda") else 0


def free_memory(device: str, num_processes: int = 1) -> int:
    """Return the bytes of tensors that a process can have: on its GPU, or its part of the free memory for the CPU.

    Args:
        device: "cuda", "cuda:0" or "cpu".
        num_processes: Number of processes on this machine, which divide its memory if they run on the CPU.
    """
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0] - CUDA_RESERVE
    return free_ram() // num_processes - CPU_RESERVE


def free_ram() -> int:
    """Return the bytes that new processes can use: those of the machine, or of its container if that has fewer."""
    free = psutil.virtual_memory().available
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and (maximum := limit.read_text(encoding="ascii").strip()) != "max":
        free = min(free, int(maximum) - int(used.read_text(encoding="ascii")))
    return free
