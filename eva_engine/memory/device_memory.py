"""The memory that a training step may take on this machine."""

from pathlib import Path

import torch

# Bytes that PyTorch's allocator cannot give to tensors: CUDA context, workspaces, fragmentation. An estimate.
CUDA_RESERVE = 10**9
_CPU_FRACTION = 0.8  # of the free memory; the rest is for the loader's workers and for the file cache
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def reserve(device: str) -> int:
    """Return the bytes of a device that tensors cannot have."""
    return CUDA_RESERVE if device.startswith("cuda") else 0


def free_memory(device: str, num_processes: int = 1) -> int:
    """Return the bytes of tensors that a process can have: on its GPU, or its part of the free memory for the CPU.

    Args:
        device: "cuda", "cuda:0" or "cpu".
        num_processes: Number of processes on this machine, which divide its memory if they run on the CPU.
    """
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0] - CUDA_RESERVE
    free = [
        1024 * int(line.split()[1]) for line in _MEMINFO.read_text().splitlines() if line.startswith("MemAvailable")
    ]
    limit = _CGROUP / "memory.max"  # of a container
    if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
        free.append(int(text) - int((_CGROUP / "memory.current").read_text()))
    return round(min(free) * _CPU_FRACTION) // num_processes
