"""Kills processes that save checkpoints, at random moments, and checks what they leave: FOLDER KIND NUM_KILLS SEED."""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from eva_engine.checkpoint import read_file
from eva_engine.checkpoint.run_checkpoints import RunCheckpoints

NUM_NUMBERS = 12_000_000  # 48 MB
NUM_KEPT = 2


def write_for_ever(folder: Path, kind: str, reports: int) -> None:
    """Continue from the last checkpoint; report every number when it is on disk."""
    mesh = None
    if kind == "folder":
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        mesh = init_device_mesh("cpu", (1,))
    checkpoints = RunCheckpoints(folder, max_to_keep=NUM_KEPT)
    last = checkpoints.find_last()
    iteration = 0 if last is None else read_file(last, ("iteration",))["iteration"]
    weights = torch.empty(NUM_NUMBERS)
    os.write(reports, bytes(4))  # starts the clock
    while True:
        iteration += 1
        weights.fill_(iteration)
        value = weights if mesh is None else distribute_tensor(weights, mesh, [Shard(0)])
        checkpoints.save(f"model_{iteration:07}", {"model": {"w": value}, "iteration": iteration})
        checkpoints.wait()
        os.write(reports, iteration.to_bytes(4, "little"))


def check(folder: Path, reported: int) -> int:
    """Return the number of the checkpoint that the next run resumes from, and check that it is complete."""
    pointed = folder / "last_checkpoint"
    if pointed.exists():
        assert read_file(folder / pointed.read_text(), ("iteration",))["iteration"] >= reported
    checkpoints = RunCheckpoints(folder, max_to_keep=NUM_KEPT)
    left = sorted(path.name for path in folder.iterdir())
    assert not any("partial" in name or "replaced" in name for name in left), left
    last = checkpoints.find_last()
    if last is None:
        assert reported == 0
        return 0
    content = read_file(last)
    number = content["iteration"]
    assert last.name.startswith(f"model_{number:07}")
    assert number >= reported, (number, reported)
    assert bool((content["model"]["w"] == number).all())
    return number


def main(folder: Path, kind: str, num_kills: int, seed: int) -> None:
    torch.set_num_threads(1)
    moments, numbers, num_partial = random.Random(seed), [], 0
    seconds = 0.0  # time for one checkpoint on this machine, measured in the first process
    for _ in range(num_kills):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            write_for_ever(folder, kind, writing)
        os.close(writing)
        signal.signal(signal.SIGALRM, lambda *_, child=child: os.kill(child, signal.SIGKILL))
        reported = os.read(reading, 4)
        if not seconds:
            start = time.perf_counter()
            reported += os.read(reading, 4)
            seconds = time.perf_counter() - start
        signal.setitimer(signal.ITIMER_REAL, moments.uniform(0.02, 2.5) * seconds)
        while piece := os.read(reading, 4096):  # ends when the child is dead
            reported += piece
        os.close(reading)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        num_partial += any(path.name.startswith(".model") for path in folder.iterdir())
        numbers.append(check(folder, int.from_bytes(reported[-4:], "little")))
    assert numbers == sorted(numbers)
    assert numbers[-1] > 0
    print(f"{num_partial} of {num_kills} killed while writing; resumed from", *numbers)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
