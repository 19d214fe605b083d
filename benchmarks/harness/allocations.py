"""Memory of tensors, counted allocation by allocation: exact where the growth of a process is that of the allocator."""

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile


def peak_allocated(run: Callable[[], object]) -> int:
    """Return the largest number of bytes that tensors made by `run()` take at the same time on the CPU."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    current = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        current += event.nbytes()  # negative where memory is freed
        peak = max(peak, current)
    return peak
