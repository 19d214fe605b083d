"""Saving and verifying the state of a training run, compared with writing the same bytes to a plain file.

The state is a fraction of that of the full-size detector in float32: weights and AdamW's two moments, in tensors of the
sizes of its blocks. The plain file is written from the same tensors in pieces of at most 16 MiB and synced, as
checkpoints are. Each write creates a new file in an empty folder, because newly allocated disk blocks may cost more
than those of a file just deleted. Saving in parallel with training needs memory for the state and a copy of it.

    python -m benchmarks.checkpoint_write [--rounds 5] [--fraction 0.15]
    python -m benchmarks.checkpoint_write --rounds 1 --fraction 1 --direct     the full state, in 16 GB of memory
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard

from eva_engine.checkpoint import RunCheckpoints, read_file
from eva_engine.checkpoint.sharded_checkpoint import verify_sharded
from eva_engine.checkpoint.unsharded_checkpoint import verify_unsharded

from .harness.figure import Figure, record
from .harness.side_by_side import MIB

FULL_BYTES = 3 * 4 * 1_074_000_000  # weights and two moments of the detector
WIDTH, MLP_WIDTH = 1408, 6144
PIECE = 16 * MIB


def make_weights(num_bytes: int) -> dict[str, torch.Tensor]:
    """Return random tensors of the shapes of the ViT's blocks, in total `num_bytes` or slightly more."""
    shapes = [(3 * WIDTH, WIDTH), (WIDTH, WIDTH), (MLP_WIDTH, WIDTH), (WIDTH, MLP_WIDTH), (WIDTH,), (WIDTH,)]
    weights: dict[str, torch.Tensor] = {}
    while sum(value.nbytes for value in weights.values()) < num_bytes:
        shape = shapes[len(weights) % len(shapes)]
        weights[f"backbone.{len(weights)}"] = torch.empty(shape).uniform_(-0.02, 0.02)
    return weights


def make_state(weights: dict[str, torch.Tensor]) -> dict:
    """Return the state of a run with `weights`, three times their size."""
    moments = {name: {"exp_avg": value.clone(), "exp_avg_sq": value.clone()} for name, value in weights.items()}
    return {"model": weights, "optimizer": {"state": moments, "param_groups": []}, "iteration": 1}


def sharded(state: dict) -> dict:
    """Return the same state as tensors that are sharded among processes, here one."""
    mesh = init_device_mesh("cpu", (1,))
    result: dict = {}
    for key, value in state.items():
        if isinstance(value, dict):
            result[key] = sharded(value)
        elif isinstance(value, torch.Tensor):
            result[key] = DTensor.from_local(value, mesh, [Shard(0)])  # shares the memory
        else:
            result[key] = value
    return result


def memory(state: dict) -> list[memoryview]:
    """Return the memory of all tensors of a state."""
    found: list[memoryview] = []
    for value in state.values():
        if isinstance(value, dict):
            found += memory(value)
        elif isinstance(value, torch.Tensor):
            found.append(value.view(-1).view(torch.uint8).numpy().data)
    return found


def write_plainly(path: Path, content: list[memoryview]) -> None:
    with open(path, "wb", buffering=0) as file:
        for view in content:
            for start in range(0, len(view), PIECE):
                file.write(view[start : start + PIECE])
        os.fsync(file.fileno())


def seconds(action: Callable[[], object]) -> float:
    """Return the duration of `action`, after the disk has finished earlier work, including deletions."""
    os.sync()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(
    folder: Path, content: list[memoryview], states: dict[str, dict], during_training: bool
) -> dict[str, float]:
    """Measure one round: every case once, each write in an empty folder."""
    times = {"plain file": seconds(lambda: write_plainly(folder / "plain", content))}
    (folder / "plain").unlink()
    for kind, state in states.items():
        run = folder / "run"
        direct = RunCheckpoints(run, max_to_keep=1, asynchronous=False)
        times[f"{kind}, direct"] = seconds(partial(direct.save, "model_0000001", state))
        path = direct.find_last()
        assert path is not None
        times[f"{kind}, verified"] = seconds(partial(verify_sharded if path.is_dir() else verify_unsharded, path))
        times[f"{kind}, read"] = seconds(partial(_read, path))
        shutil.rmtree(run)
        checkpoints = RunCheckpoints(run, max_to_keep=1)
        for which in ("first", "later") if during_training else ():
            shutil.rmtree(run)
            run.mkdir()
            save = partial(checkpoints.save, "model_0000001", state)
            times[f"{kind}, during training: training waits, {which} time"] = seconds(save)
            times[f"{kind}, during training: written after, {which} time"] = seconds(checkpoints.wait)
        shutil.rmtree(run)
    return times


def _read(path: Path) -> None:
    touch(read_file(path))


def touch(content: dict) -> None:
    """Read one number of every page, because memory that is only mapped is not read yet."""
    for value in content.values():
        if isinstance(value, dict):
            touch(value)
        elif isinstance(value, torch.Tensor):
            value.reshape(-1)[:: 4096 // value.element_size()].sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fraction", type=float, default=0.15, help="fraction of the full state of 12.9 GB")
    parser.add_argument(
        "--direct",
        action="store_true",
        help="skip saving in parallel with training, which needs a copy of the state in memory",
    )
    parser.add_argument("--folder", type=Path, help="where to write (default: the temporary folder)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="torch.distributed")
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    state = make_state(make_weights(int(FULL_BYTES * arguments.fraction / 3)))
    num_bytes = 3 * sum(value.nbytes for value in state["model"].values())
    content = memory(state)
    states = {"file": state, "folder": sharded(state)}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        measure(Path(folder), content[:1], {"file": {"model": {}}}, True)  # imports
        rounds = [measure(Path(folder), content, states, not arguments.direct) for _ in range(arguments.rounds)]
    print(f"{num_bytes / MIB:.0f} MiB, {arguments.fraction:.2f} of the full state; medians of {len(rounds)} rounds")
    plain_times = [times["plain file"] for times in rounds]
    for name in rounds[0]:
        own_times = [times[name] for times in rounds]
        row = f"  {name:<56}"
        for title, choose in (("median", statistics.median), ("fastest", min)):
            row += f" {title} {choose(own_times):6.2f} s {choose(own_times) / choose(plain_times):5.2f}x"
        print(row)
        if name != "plain file":
            plain, ours = statistics.median(plain_times), statistics.median(own_times)
            record(Figure(name, "time", "s", ours, "plain write", plain))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
