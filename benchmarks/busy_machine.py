"""A training step on all cores next to one busy program, with threads that spin while they wait, and that sleep.

Commands set OMP_WAIT_POLICY=passive, unless the user sets how threads wait; the peer is PyTorch's default. Both are
also measured without the busy program. The model is EVA-02-S with 3 blocks, on 4 images.

    python -m benchmarks.busy_machine [--rounds 3] [--steps 10]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .harness.figure import Figure, record

BUSY_PROGRAM = "while True: pass"
SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SPINNING, SLEEPING = "spinning", "sleeping"


def measure_steps(num_steps: int) -> tuple[float, float]:
    """Return the median wall and processor seconds of a training step in this process."""
    import torch
    from torch.nn.functional import cross_entropy

    from eva_classification import create_classifier

    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = create_classifier("eva02_small_patch14", depth=3, num_classes=100).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    images, targets = torch.randn(4, 3, 224, 224), torch.randint(100, (4,))
    times = []
    for _ in range(num_steps + 1):
        start, cpu_start = time.perf_counter(), time.process_time()
        loss = cross_entropy(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append((time.perf_counter() - start, time.process_time() - cpu_start))
    wall, cpu = zip(*times[1:], strict=True)  # the first step also starts the threads
    return statistics.median(wall), statistics.median(cpu)


@contextmanager
def busy_program(is_running: bool) -> Iterator[None]:
    """Keep one core busy during the block."""
    if not is_running:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", BUSY_PROGRAM])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run_steps(policy: str, num_steps: int) -> tuple[float, float]:
    """Return the times of `measure_steps` in a new process whose threads wait by `policy`."""
    environment = {name: value for name, value in os.environ.items() if name not in (*SETTINGS, "OMP_NUM_THREADS")}
    if policy == SLEEPING:
        environment["OMP_WAIT_POLICY"] = "passive"
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.busy_machine", "--measure", str(num_steps)]
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds, cpu_seconds = json.loads(output.splitlines()[-1])
    return seconds, cpu_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--measure", type=int, metavar="N", help="print the times of N steps in this process")
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure_steps(args.measure)))
        return
    for title, is_busy in (("alone", False), ("next to one busy program", True)):
        seen: dict[str, list[tuple[float, float]]] = {SPINNING: [], SLEEPING: []}
        with busy_program(is_busy):
            for _ in range(args.rounds):
                for policy, times in seen.items():
                    times.append(run_steps(policy, args.steps))
        for index, quantity in enumerate(("time", "processor time")):
            theirs, ours = (statistics.median(times[index] for times in seen[policy]) for policy in seen)
            print(f"step {title}, {quantity}: {SPINNING} {theirs:.2f} s, {SLEEPING} {ours:.2f} s", flush=True)
            record(Figure(f"training step {title}", quantity, "s", ours, "spinning threads", theirs))


if __name__ == "__main__":
    main()
