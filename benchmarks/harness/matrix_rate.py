"""Rate of large matrix products: what a machine can reach, with which the arithmetic of a model is compared."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SIDE = 1536  # of the square matrices on the CPU; larger ones are not faster
CUDA_SIDE = 8192
_LONGEST = 2.0  # processor seconds that one product on the CPU may take


def cpu_matrix_rate(dtype: torch.dtype, side: int = SIDE, repetitions: int = 3) -> float:
    """Return the operations per processor second of square matrix products on the CPU.

    Processor time makes the rate of a busy machine comparable with that of an idle one. An idle machine does this rate
    times the number of threads.
    """
    left, right = torch.randn(2, side, side).to(dtype)
    corner = slice(side // 8)
    small_left, small_right = left[corner, corner].contiguous(), right[corner, corner].contiguous()
    small_left @ small_right  # starts the threads
    rate = _best_rate(small_left, small_right, repetitions)
    if 2 * side**3 / rate > _LONGEST:  # without instructions for the type, large products are not faster
        return rate
    return _best_rate(left, right, repetitions)


def _best_rate(left: torch.Tensor, right: torch.Tensor, repetitions: int) -> float:
    left @ right
    seconds = []
    for _ in range(repetitions):
        start = time.process_time()
        left @ right
        seconds.append(time.process_time() - start)
    return 2 * len(left) ** 3 / max(min(seconds), 1e-9)


def cuda_matrix_rate(dtype: torch.dtype, side: int = CUDA_SIDE, repetitions: int = 10) -> float:
    """Return the operations per second of square matrix products on the current GPU, on random values."""
    left, right = torch.randn(2, side, side, device="cuda").to(dtype)
    seconds = []
    for _ in range(repetitions + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        left @ right
        end.record()
        end.synchronize()
        seconds.append(start.elapsed_time(end) / 1e3)
    return 2 * side**3 / statistics.median(seconds[3:])  # the first ones also start the library


def forward_operations(build: Callable[[], nn.Module], *shape: int) -> int:
    """Return the operations of the matrix products and convolutions in a forward pass for one input of `shape`.

    The model is built and run without memory. Kernels that do more arithmetic than the formula would count with it, so
    `build` should return a model with eager attention.
    """
    with torch.device("meta"), torch.no_grad():
        model = build().eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(shape))
    return counter.get_total_flops()
