"""One sentence about a data worker that the system has ended."""

import re

from eva_backbone.errors import InputError

_ENDED = re.compile(r"DataLoader worker \(pid.*\) (?:exited unexpectedly|is killed by signal: ([^.]+))")
_MENDS = {
    "Killed": "most likely there was too little memory; lower dataloader.train.num_workers",
    "Bus error": (
        "most likely shared memory is full; enlarge /dev/shm (docker run --shm-size=8g), "
        "or lower dataloader.train.num_workers"
    ),
}
_OTHER_MEND = "run with dataloader.train.num_workers=0 to see the error itself"


def worker_failure(error: BaseException) -> InputError | None:
    """The `InputError` to raise in place of torch's error about a dead worker; None for any other error.

    torch raises it in the main process wherever that happens to be, most often while it waits for data.
    """
    if not isinstance(error, RuntimeError):
        return None
    # While it waits for data torch only says that a worker has ended; the signal is in the cause.
    ended = [match for told in (error.__cause__, error) if (match := _ENDED.match(str(told)))]
    if not ended:
        return None
    signal = ended[0].group(1)
    told = f" (signal: {signal})" if signal else ""
    return InputError(f"A process that loads images has ended{told}; {_MENDS.get(signal, _OTHER_MEND)}.")
