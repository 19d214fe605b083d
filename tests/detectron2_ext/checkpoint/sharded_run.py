"""Runs of several gloo processes on the CPU whose state is split among them."""

import socket
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.fsdp import fully_shard


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
    model(torch.randn(4, 6)).square().sum().backward()
    optimizer.step()
    weights, moments = get_state_dict(model, optimizer)
    state = {"model": weights, "optimizer": moments, "iteration": seed, "random": {"torch": torch.get_rng_state()}}
    state["scheduler"] = {"lrs": [0.1, (1, 2)], "empty": {}, 7: "a number as key"}
    return model, optimizer, state
