"""Starting the processes of a run and joining them into one group.

Two ways lead here: torchrun, which starts the processes itself (and again after a failure), and the options
``--num-gpus``, ``--num-machines``, ``--machine-rank`` and ``--dist-url``, for which they are started here.
"""

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.utils import comm
from torch.multiprocessing.spawn import ProcessContext

from eva_backbone.errors import InputError

# Long enough for the first process to score an evaluation while the others wait.
_TIMEOUT = timedelta(minutes=60)
# Handled by the training loop of every process.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


def started_by_torchrun() -> bool:
    """Whether the environment names this process's rank, as torchrun's does."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"))


def restarted_by_torchrun() -> bool:
    """Whether this is a process that torchrun started again after a failure."""
    return _num_restarts() > 0


def _num_restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def launch(
    function: Callable[..., None],
    args: tuple[Any, ...],
    *,
    processes_per_machine: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str = "",
) -> None:
    """Call `function(*args)` in every process of the run, joined into a process group if there is more than one.

    The group uses NCCL for CUDA tensors and gloo for those on the CPU. Under torchrun the process count and the
    rendezvous are torchrun's, and the keywords are not looked at.

    Raises:
        torch.multiprocessing.ProcessRaisedException: a process started here raised; the others are stopped.
    """
    world_size = processes_per_machine * num_machines
    if started_by_torchrun():
        local_world_size = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        store, rank, world_size = next(dist.rendezvous("env://"))
        # torchrun's store may outlive a failure, and with it the addresses of processes that are gone.
        store = dist.PrefixStore(f"start_{_num_restarts()}", store)
        _join(rank, world_size, local_world_size, store=store)
        try:
            function(*args)
        finally:
            dist.destroy_process_group()
    elif world_size == 1:
        function(*args)
    else:
        first_rank = machine_rank * processes_per_machine
        worker_args = (function, args, first_rank, world_size, processes_per_machine, dist_url)
        context = mp.start_processes(_worker, worker_args, processes_per_machine, join=False, start_method="spawn")
        _wait(context)


def _worker(
    local_rank: int, function: Callable[..., None], args: tuple[Any, ...], first_rank: int, *group: Any
) -> None:
    world_size, local_world_size, url = group
    _join(first_rank + local_rank, world_size, local_world_size, init_method=url)
    try:
        function(*args)
    except InputError as error:
        raise InputError(str(error)) from error  # its name, not a subclass's, is looked for behind the process boundary
    dist.destroy_process_group()


def join_alone() -> None:
    """A group of this one process, unless there is a group already: splitting a model needs one."""
    if not dist.is_initialized():
        dist.init_process_group(_backend(), store=dist.HashStore(), rank=0, world_size=1)
        comm.create_local_process_group(1)


def _backend() -> str:
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"


def _join(rank: int, world_size: int, local_world_size: int, **meeting_point: Any) -> None:
    if torch.cuda.is_available():
        torch.cuda.set_device(rank % local_world_size)
    dist.init_process_group(_backend(), rank=rank, world_size=world_size, timeout=_TIMEOUT, **meeting_point)
    comm.create_local_process_group(local_world_size)
    comm.synchronize()


def _wait(context: ProcessContext) -> None:
    """Until all processes have ended; signals to stop are passed on to them, since only they can save their work."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for process in context.processes:
            if process.is_alive():
                os.kill(process.pid, number)

    before = {number: signal.signal(number, pass_on) for number in STOP_SIGNALS}
    try:
        while not context.join():
            pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
