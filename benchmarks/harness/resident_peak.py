"""Peak growth of the resident memory of this process, where the system may take pages of files away meanwhile.

Linux can reclaim pages of libraries and other files that have not been used for some minutes (DAMON does so even when
there is free memory). The resident set then falls during a measurement, and the peak seems too small.
"""

import threading
from collections.abc import Callable

_PERIOD = 0.05  # seconds


def peak_growth(run: Callable[[], object]) -> int:
    """Return by how many bytes the resident set grows at most during `run()`, without what is lost of files."""
    before = _status()
    files_before = before["RssFile"]
    peak = 0
    done = threading.Event()

    def sample() -> None:
        nonlocal peak
        is_last = False
        while not is_last:
            is_last = done.wait(_PERIOD)
            status = _status()
            _reset_peak()  # so that each period has a peak of its own, to be read next to its pages of files
            lost = max(files_before - status["RssFile"], 0)
            peak = max(peak, status["VmHWM"] - before["VmRSS"] + lost)

    sampler = threading.Thread(target=sample)
    _reset_peak()
    sampler.start()
    try:
        run()
    finally:
        done.set()
        sampler.join()
    return peak


def _status() -> dict[str, int]:
    """Return the memory of this process in bytes, by the names of the kernel."""
    memory = {}
    with open("/proc/self/status") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name in ("VmHWM", "VmRSS", "RssFile"):
                memory[name] = int(value.split()[0]) * 1024
    return memory


def _reset_peak() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
