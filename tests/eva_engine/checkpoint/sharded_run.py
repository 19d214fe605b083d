"""Runs of several gloo processes on the CPU with sharded states; as a script, the cases of the tests: FOLDER.

The processes are forked from one that has started no threads.
"""

import errno
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from eva_backbone.errors import InputError
from eva_engine.checkpoint import checksummed_files
from eva_engine.checkpoint.checksummed_files import ChecksummedStream
from eva_engine.checkpoint.run_checkpoints import RunCheckpoints


def run_processes(world_size: int, function: Callable, *arguments) -> None:
    """Call `function(rank, *arguments)` in `world_size` processes of one group; raises what one of them raises."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.start_processes(
        _in_group, (world_size, port, function, arguments), nprocs=world_size, start_method="fork", join=True
    )


def _in_group(rank: int, world_size: int, port: int, function: Callable, arguments: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size)
    function(rank, *arguments)
    dist.destroy_process_group()


def build_model(seed: int) -> nn.Module:
    """A model with a layer of 5 rows, which no number of processes above 1 divides, and a buffer."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 64), nn.Linear(64, 5), nn.BatchNorm1d(5))
    model[2].running_mean.normal_()
    return model


def trained_state(seed: int, *, sharded: bool) -> tuple[nn.Module, torch.optim.Optimizer, dict]:
    """A model and its optimizer after one step, and their state as training saves it."""
    model = build_model(seed)
    if sharded:
        fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    torch.manual_seed(seed)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes that are started: another number sums in another order
    model(torch.randn(4, 6)).square().sum().backward()
    optimizer.step()
    torch.set_num_threads(threads)
    weights, moments = get_state_dict(model, optimizer)
    state = {"model": weights, "optimizer": moments, "iteration": seed, "random": {"torch": torch.get_rng_state()}}
    state["scheduler"] = {"lrs": [0.1, (1, 2)], "empty": {}, 7: "a number as key"}
    return model, optimizer, state


def unsharded_tensors(state: dict) -> dict:
    """Return `state` with unsharded tensors; all processes call this function."""
    result = {}
    for key, value in state.items():
        if isinstance(value, dict):
            result[key] = unsharded_tensors(value)
        else:
            result[key] = value.full_tensor() if isinstance(value, DTensor) else value
    return result


def save(rank: int, folder: Path) -> None:
    """Write the same state asynchronously, synchronously, and as one that is not counted."""
    model, optimizer, state = trained_state(1, sharded=True)
    checkpoints = RunCheckpoints(folder, max_to_keep=2)
    checkpoints.save("model_0000001", state)
    checkpoints.save("model_0000002", state)
    with torch.no_grad():  # while it is written
        for parameter in model.parameters():
            parameter.zero_()
            optimizer.state[parameter]["exp_avg"].zero_()
    assert checkpoints.find_last() == folder / "model_0000002"
    state = trained_state(1, sharded=True)[2]
    checkpoints = RunCheckpoints(folder, max_to_keep=2, asynchronous=False)
    for name in ("model_0000003", "model_final", "model_final"):  # a folder of that name is replaced
        checkpoints.save(name, state)
    checkpoints.save("model_best", state | {"iteration": 10 + rank}, counted=False)
    assert checkpoints.find_last() == folder / "model_final"
    assert not list(folder.glob(".*"))


def load(rank: int, folder: Path, target: Path) -> None:
    """Load the last checkpoint into another state and write the unsharded result."""
    state = trained_state(2, sharded=True)[2]
    checkpoints = RunCheckpoints(folder, max_to_keep=2)
    loaded = unsharded_tensors(checkpoints.load(checkpoints.find_last(), state))
    if rank == 0:
        torch.save(loaded, target)


class FullDisk(ChecksummedStream):
    """Has room for 1,000 bytes."""

    def write(self, data: memoryview | bytes) -> int:
        if self.num_bytes + len(data) > 1000:
            self.error = OSError(errno.ENOSPC, "No space left on device")
            raise self.error
        return super().write(data)


def run_out_of_space(rank: int, folder: Path) -> None:
    """The disk of rank 1 is full; both processes raise an error, and the earlier checkpoint stays."""
    state = trained_state(1, sharded=True)[2]
    checkpoints = RunCheckpoints(folder, max_to_keep=2)
    if rank == 1:
        checksummed_files.ChecksummedStream = FullDisk
    checkpoints.save("model_0000009", state)
    with pytest.raises(InputError, match="/model_0000009 needs"):
        checkpoints.wait()
    assert checkpoints.find_last() == folder / "model_final"
    assert not list(folder.glob(".*"))


def main(folder: Path) -> None:
    run_processes(2, save, folder / "run")
    for world_size in (1, 3):
        run_processes(world_size, load, folder / "run", folder / f"loaded_{world_size}.pth")
    run_processes(2, run_out_of_space, folder / "run")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
