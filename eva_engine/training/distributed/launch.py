"""Start the processes of a run and join them into one process group.

There are two ways: torchrun starts the processes itself (and restarts them after a failure); with the options
``--num-gpus``, ``--num-machines``, ``--machine-rank`` and ``--dist-url`` they are started here.
"""

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.utils import comm
from torch.multiprocessing.spawn import ProcessContext

from eva_backbone.errors import InputError
from eva_engine.disk_space import OutputError

# Long enough for rank 0 to score an evaluation while the others wait.
_TIMEOUT = timedelta(minutes=60)
_INTERRUPT_SECONDS = 5  # for a process to end by itself
# The training loop of every process handles these. Windows has no SIGUSR1.
STOP_SIGNALS = tuple(signal.Signals[name] for name in ("SIGTERM", "SIGUSR1") if name in signal.Signals.__members__)


def started_by_torchrun() -> bool:
    """Return whether torchrun started this process: it sets the rank and the rendezvous in the environment."""
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"))


def restarted_by_torchrun() -> bool:
    """Return whether torchrun restarted this process after a failure."""
    return _num_restarts() > 0


def _num_restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def starts_processes(world_size: int) -> bool:
    """Return whether `launch` starts `world_size` processes, instead of running in this one."""
    return world_size > 1 and not started_by_torchrun()


def launch(
    function: Callable[..., None],
    args: tuple[Any, ...],
    *,
    processes_per_machine: int,
    num_machines: int = 1,
    machine_rank: int = 0,
    dist_url: str = "",
    device: str = "cuda",
) -> None:
    """Call `function(*args)` in every process of the run, joined into a process group if there is more than one.

    The group uses NCCL for CUDA tensors and gloo for tensors on the CPU.

    Args:
        function: Work of every process.
        args: Its arguments; they must be picklable if processes are started.
        processes_per_machine: Number of processes to start; this and the next three arguments are ignored under
            torchrun, which decides them.
        num_machines: Number of machines in the run.
        machine_rank: Number of this machine, from 0.
        dist_url: Rendezvous of the processes, "tcp://HOST:PORT"; "auto" finds a free port on a single machine.
        device: Device of the model; on the CPU there may be more processes than GPUs.

    Raises:
        InputError: A machine rank out of range, an invalid address, or "auto" for several machines.
        torch.multiprocessing.ProcessRaisedException: A started process raised; the others are stopped.
    """
    world_size = processes_per_machine * num_machines
    if started_by_torchrun():
        with torchrun_process_group(device):
            function(*args)
    elif machine_rank not in range(num_machines):
        raise InputError(
            f"--machine-rank {machine_rank} is out of range for --num-machines {num_machines}; count from 0"
        )
    elif not starts_processes(world_size):
        function(*args)
    else:
        if dist_url == "auto":
            dist_url = _free_address(num_machines)
        if not re.fullmatch(r"tcp://.+:\d+|file:///.+", dist_url):
            raise InputError(f"--dist-url {dist_url} is not an address; give tcp://HOST:PORT of machine 0")
        first_rank = machine_rank * processes_per_machine
        worker_args = (function, args, first_rank, world_size, processes_per_machine, device, dist_url)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # until they run, Ctrl-C is up to this process
        try:
            context = mp.start_processes(_worker, worker_args, processes_per_machine, join=False, start_method="spawn")
        finally:
            signal.signal(signal.SIGINT, before)
        _wait(context)


@contextmanager
def torchrun_process_group(device: str) -> Iterator[None]:
    """Join the processes that torchrun has started into a process group, until the block ends."""
    local_world_size = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    store, rank, world_size = next(dist.rendezvous("env://"))
    # torchrun's store may survive a failure, and with it the addresses of dead processes; a new prefix avoids them.
    store = dist.PrefixStore(f"start_{_num_restarts()}", store)
    _join(rank, world_size, local_world_size, device, store=store)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _worker(
    local_rank: int, function: Callable[..., None], args: tuple[Any, ...], first_rank: int, *group: Any
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    world_size, local_world_size, device, url = group
    _join(first_rank + local_rank, world_size, local_world_size, device, init_method=url)
    try:
        function(*args)
    except InputError as error:
        # The parent process looks for the names of these classes, not of subclasses, in the text of the traceback.
        kind = OutputError if isinstance(error, OutputError) else InputError
        raise kind(" ".join(str(error).splitlines())) from error
    dist.destroy_process_group()


def join_single_process_group() -> None:
    """Make a process group of this process alone, unless there is a group already; FSDP needs one."""
    if not dist.is_initialized():
        dist.init_process_group(_backend("cuda"), store=dist.HashStore(), rank=0, world_size=1)
        comm.create_local_process_group(1)


def _free_address(num_machines: int) -> str:
    if num_machines > 1:
        raise InputError("--dist-url auto works on a single machine; give tcp://HOST:PORT of machine 0 to all of them")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


def _backend(device: str) -> str:
    if device.startswith("cuda") and torch.cuda.is_available():
        return "cpu:gloo,cuda:nccl"
    return "gloo"


def _join(rank: int, world_size: int, local_world_size: int, device: str, **rendezvous: Any) -> None:
    backend = _backend(device)
    if "cuda" in backend:
        torch.cuda.set_device(rank % local_world_size)
    dist.init_process_group(backend, rank=rank, world_size=world_size, timeout=_TIMEOUT, **rendezvous)
    comm.create_local_process_group(local_world_size)
    comm.synchronize()


def _wait(context: ProcessContext) -> None:
    """Wait until all processes have ended, and forward stop signals to them, since only they can save their work."""

    def forward_signal(number: int, _frame: FrameType | None) -> None:
        for process in context.processes:
            if process.is_alive():
                os.kill(process.pid, number)

    before = {number: signal.signal(number, forward_signal) for number in STOP_SIGNALS}
    try:
        while not context.join():
            pass
    except KeyboardInterrupt:
        forward_signal(signal.SIGINT, None)  # Python would wait for the processes at its exit
        for process in context.processes:
            process.join(_INTERRUPT_SECONDS)
            process.kill()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
