"""Run two competitors alternately, each round in a new process, and print medians and their ratio.

A competitor is the name of a function in the calling module that prepares its inputs and returns a callable. Only that
callable is timed, and its peak memory is measured relative to the resident memory just before.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module

from .allocations import peak_allocated
from .figure import Dtype, Figure, record
from .matrix_rate import cpu_matrix_rate
from .precision import VARIABLE, chosen_dtype
from .resident_peak import peak_growth

MIB = 2**20
QUANTITIES = ("time", "memory")

Sample = tuple[float, float, int]  # wall seconds, processor seconds, peak bytes


def peak_bytes() -> int:
    """Return the peak memory of this process; `ru_maxrss` would include that of the process that started it."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


@dataclass(frozen=True)
class Measurement:
    """Median wall and processor seconds, and peak bytes above the resident set before the timed call."""

    seconds: float
    cpu_seconds: float
    peak_bytes: float
    allocated_bytes: float = 0.0  # peak of the tensors made by a call; 0 if it was not measured


def measure_once(run: Callable[[], object]) -> tuple[float, float, int]:
    """Return wall seconds, processor seconds and peak bytes above resident memory of one call in this process."""
    seconds = cpu_seconds = 0.0

    def timed() -> None:
        nonlocal seconds, cpu_seconds
        start, cpu_start = time.perf_counter(), time.process_time()
        run()
        seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start

    growth = peak_growth(timed)
    return seconds, cpu_seconds, growth


def compare(
    module: str,
    title: str,
    peer: str,
    ours: str,
    rounds: int,
    calls: int = 1,
    *,
    against: str,
    quantities: Sequence[str] = QUANTITIES,
    dtype: Dtype = "float32",
    operations: float | None = None,
) -> tuple[Measurement, Measurement]:
    """Measure two functions of `module` alternately in new processes, print their medians and record the last pair.

    With several calls per process, the first call is reported separately from the fastest of the others, because it
    also allocates memory and starts the thread pool and the matrix library.

    Args:
        module: Name of the module with both functions.
        title: Title of the figures.
        peer: Name of the function that prepares the peer.
        ours: Name of the function that prepares our implementation.
        rounds: Number of processes for each of the two.
        calls: Number of timed calls in each process.
        against: Name of the peer in the figures.
        quantities: Quantities to record, of "time", "processor time", "memory", which is the growth of the process, and
            "allocated memory", which is that of its tensors and takes one more call.
        dtype: Precision that the two functions are to use, see `precision`.
        operations: Arithmetic of a call by its formula. If given, each process also measures the rate of matrix
            products, and the figures have the fraction of it that ours reaches.

    Returns:
        The last printed medians, of the peer and of ours.
    """
    seen: dict[str, list[list[Sample]]] = {peer: [], ours: []}
    rates: list[float] = []
    allocated: dict[str, list[int]] = {peer: [], ours: []}
    environment = {**os.environ, VARIABLE: dtype}
    for _ in range(rounds):
        for name in (peer, ours):
            words = ["benchmarks.harness.side_by_side", module, name, str(calls)]
            if operations:
                words.append("rate")
            if "allocated memory" in quantities:
                words.append("allocated memory")
            command = [sys.executable, "-W", "ignore", "-m", *words]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
            result = json.loads(output.splitlines()[-1])
            seen[name].append([tuple(sample) for sample in result["samples"]])
            rates.append(result["rate"])
            allocated[name].append(result["allocated memory"])
    title_of_run = title if dtype == "float32" else f"{title}, {dtype}"
    print(f"{title_of_run} ({rounds} rounds, medians)")
    medians = _print_pair("first call", {name: [samples[0] for samples in runs] for name, runs in seen.items()})
    if calls > 1:
        later = {name: [min(samples[1:]) for samples in runs] for name, runs in seen.items()}
        medians = _print_pair("later call", later)
    of_peer, of_ours = (
        replace(median, allocated_bytes=statistics.median(of_name))
        for median, of_name in zip(medians, allocated.values(), strict=True)
    )
    fraction = None
    if operations:
        # Per processor second, so that neither other programs nor the number of cores change it.
        fraction = operations / medians[1].cpu_seconds / statistics.median(rates)
        print(f"  {ours}: {fraction:.0%} of the rate of matrix products, {statistics.median(rates) / 1e9:.0f} GFLOP/s")
    for figure in _figures(title, against, of_peer, of_ours, quantities):
        of_figure = None if "memory" in figure.quantity else fraction
        record(replace(figure, dtype=dtype, rate_fraction=of_figure))
    return medians


def _figures(
    title: str, against: str, theirs: Measurement, ours: Measurement, quantities: Sequence[str]
) -> Iterator[Figure]:
    if "time" in quantities:
        yield Figure(title, "time", "s", ours.seconds, against, theirs.seconds)
    if "processor time" in quantities:
        yield Figure(title, "processor time", "s", ours.cpu_seconds, against, theirs.cpu_seconds)
    # Growth of less than 1 MiB is mostly due to the allocator.
    if "memory" in quantities and min(theirs.peak_bytes, ours.peak_bytes) >= MIB:
        yield Figure(title, "memory", "MiB", ours.peak_bytes / MIB, against, theirs.peak_bytes / MIB)
    if "allocated memory" in quantities:
        amounts = ours.allocated_bytes / MIB, against, theirs.allocated_bytes / MIB
        yield Figure(title, "allocated memory", "MiB", *amounts)


def _print_pair(kind: str, samples: dict[str, list[Sample]]) -> tuple[Measurement, Measurement]:
    medians = [
        Measurement(*(statistics.median(column) for column in zip(*runs, strict=True))) for runs in samples.values()
    ]
    for name, median in zip(samples, medians, strict=True):
        times = f"{median.seconds:8.2f} s {median.cpu_seconds:8.2f} processor s"
        print(f"  {kind} {name:<16} {times} {median.peak_bytes / MIB:8.0f} MiB above what was resident")
    time_ratio = medians[0].seconds / medians[1].seconds
    cpu_ratio = medians[0].cpu_seconds / medians[1].cpu_seconds
    memory_ratio = medians[0].peak_bytes / max(medians[1].peak_bytes, 1)
    ratios = f"time {time_ratio:.2f}x, processor time {cpu_ratio:.2f}x, memory {memory_ratio:.1f}x"
    print(f"  {kind} {' / '.join(samples)}: {ratios}", flush=True)
    return medians[0], medians[1]


if __name__ == "__main__":
    module_name, function_name, num_calls, *wanted = sys.argv[1:]
    timed = getattr(import_module(module_name), function_name)()
    measured = {
        "samples": [measure_once(timed) for _ in range(int(num_calls))],
        "rate": cpu_matrix_rate(chosen_dtype()) if "rate" in wanted else None,
        "allocated memory": peak_allocated(timed) if "allocated memory" in wanted else 0,
    }
    print(json.dumps(measured))
