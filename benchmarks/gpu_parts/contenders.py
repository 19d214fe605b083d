"""Time a peer and our implementations in turn, in one process on one GPU."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.harness.figure import Dtype, Figure
from benchmarks.harness.side_by_side import MIB

from .bench import Bench, free_memory

Run = Callable[[], object]


@dataclass(frozen=True)
class Measured:
    """Seconds of a call, and the largest number of bytes that it allocated at once; None on the CPU."""

    seconds: float
    peak_bytes: int | None


@dataclass(frozen=True)
class Amount:
    """What one call does.

    Attributes:
        images: Images, texts or clips that it processes.
        operations: Its operations by the formula of the model, from which the fraction of the card's rate follows.
        dtype: Precision of its matrix products.
    """

    images: int = 1
    operations: float | None = None
    dtype: Dtype = "bfloat16"


def compare(
    bench: Bench,
    title: str,
    peer: str,
    contenders: Mapping[str, Callable[[], Run]],
    amount: Amount,
    theirs: Measured | None = None,
) -> Measured | None:
    """Record the images per second and the memory of each contender next to those of the peer.

    Args:
        bench: Where to record.
        title: Name of the case.
        peer: Name of the contender that the others are compared with.
        contenders: Functions by name that prepare what is timed. Those that fail are skipped.
        amount: What a call does.
        theirs: The peer as measured earlier, if it is not among the contenders.

    Returns:
        What was measured of the peer, or None.
    """
    measured = measure(bench, title, contenders)
    # Compiled code of earlier cases would count towards the limit of variants of a function.
    torch.compiler.reset()
    if peer in measured:
        theirs = measured.pop(peer)
        bench.record(*_figures(f"{title}, {peer}", theirs, "", None, amount, bench))
    for name, ours in measured.items():
        bench.record(*_figures(f"{title}, {name}", ours, peer, theirs, amount, bench))
    return theirs


def measure(bench: Bench, title: str, contenders: Mapping[str, Callable[[], Run]]) -> dict[str, Measured]:
    """Prepare each contender and call it once, then time all in turn; return the medians of those that did not fail."""
    ready: dict[str, Run] = {}
    free_memory()  # of the case before; not before a timed call, which would then have to ask for it again
    for name, prepare in contenders.items():
        run = bench.attempt(f"{title}, {name}", partial(_warmed_up, prepare))
        if run is not None:
            ready[name] = run
    samples: dict[str, list[Measured]] = {name: [] for name in ready}
    for _ in range(bench.rounds):
        for name, run in ready.items():
            sample = bench.attempt(f"{title}, {name}", partial(measure_once, bench.device, run))
            if sample is not None:
                samples[name].append(sample)
    return {name: _summary(of_name) for name, of_name in samples.items() if of_name}


def measure_once(device: str, run: Run) -> Measured:
    """Measure one call."""
    if device != "cuda":
        start = time.perf_counter()
        run()
        return Measured(time.perf_counter() - start, None)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return Measured(time.perf_counter() - start, torch.cuda.max_memory_allocated() - before)


def _warmed_up(prepare: Callable[[], Run]) -> Run:
    """Return what `prepare` returns, called once, so that kernels are compiled and memory is reserved."""
    run = prepare()
    run()
    return run


def _summary(samples: list[Measured]) -> Measured:
    peaks = [sample.peak_bytes for sample in samples if sample.peak_bytes is not None]
    return Measured(statistics.median(sample.seconds for sample in samples), max(peaks, default=None))


def _figures(
    case: str, ours: Measured, peer: str, theirs: Measured | None, amount: Amount, bench: Bench
) -> list[Figure]:
    fraction = None
    if amount.operations is not None:
        fraction = amount.operations / ours.seconds / bench.matrix_rate(amount.dtype)
    speed_of_peer = memory_of_peer = None
    if theirs is not None:
        speed_of_peer = amount.images / theirs.seconds
        memory_of_peer = theirs.peak_bytes and theirs.peak_bytes / MIB
    else:
        peer = ""
    speeds = amount.images / ours.seconds, peer, speed_of_peer
    figures = [Figure(case, "speed", "images/s", *speeds, dtype=amount.dtype, rate_fraction=fraction)]
    if ours.peak_bytes is not None:
        memory = ours.peak_bytes / MIB, peer, memory_of_peer
        figures.append(Figure(case, "memory", "MiB", *memory, dtype=amount.dtype))
    return figures
