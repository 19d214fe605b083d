"""Worker processes of loaders: what is not collected in them, how long they may deliver nothing, and how they end."""

import gc
import os
import re
from typing import Any

from eva_backbone.errors import InputError

TIMEOUT = 600.0  # seconds

# A destructor may wait for threads that exist only in the parent, such as those of FFmpeg's pixel conversions, and so
# never return in a forked process. Therefore a forked process never collects objects of its parent. A worker_init_fn
# would be too late for that, because torch allocates objects before it. In the parent, this also ends the exemption of
# objects that a program has frozen itself.
if hasattr(os, "register_at_fork"):  # not on Windows, which never forks
    os.register_at_fork(before=gc.freeze, after_in_parent=gc.unfreeze)


def worker_options(num_workers: int, timeout: float) -> dict[str, Any]:
    """Return the arguments `num_workers` and `timeout` of a `DataLoader`, which accepts a timeout only with workers.

    Raises:
        InputError: `num_workers` or `timeout` is negative.
    """
    if num_workers < 0 or not timeout >= 0:
        raise InputError(f"num_workers={num_workers} and timeout={timeout} of a loader must be 0 or more.")
    return {"num_workers": num_workers, "timeout": timeout if num_workers else 0}


_TIMED_OUT = re.compile(r"DataLoader timed out after (\S+) seconds")
_ENDED = re.compile(r"DataLoader worker \(pid.*\) (?:exited unexpectedly|is killed by signal: ([^.]+))")
_ADVICE = {
    "Killed": "most likely there was too little memory; lower dataloader.train.num_workers",
    "Bus error": (
        "most likely shared memory is full; enlarge /dev/shm (docker run --shm-size=8g), "
        "or lower dataloader.train.num_workers"
    ),
}
_OTHER_ADVICE = "run with dataloader.train.num_workers=0 to see the error itself"


def worker_failure(error: BaseException) -> InputError | None:
    """Return the InputError that replaces torch's error about a dead or stuck worker; None for any other error.

    torch raises its error in the main process at any point of the program, most often while it waits for data.
    """
    if not isinstance(error, RuntimeError):
        return None
    timed_out = _TIMED_OUT.match(str(error))
    if timed_out is not None:
        return InputError(
            f"The processes that load data have delivered nothing for {float(timed_out[1]):g} seconds; if reading a "
            "sample takes that long, raise the loader's timeout, otherwise run with num_workers=0 to see where it "
            "stops."
        )
    # An error while waiting for data only says that a worker has exited; its cause has the signal.
    ended = _ENDED.match(str(error.__cause__)) or _ENDED.match(str(error))
    if ended is None:
        return None
    signal = ended.group(1)
    if signal is None:
        return InputError(f"A process that loads images has ended; {_OTHER_ADVICE}.")
    advice = _ADVICE.get(signal, _OTHER_ADVICE)
    return InputError(f"A process that loads images has ended (signal: {signal}); {advice}.")
