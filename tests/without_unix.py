"""Run a command as on Windows or with Apple's GPU, as far as the missing names of the standard library go.

    python without_unix.py VERB ARGUMENTS...

The libraries are imported first, since they know the system that they run on; only this project's modules find the
names missing.
"""

import os
import select
import signal
import sys
from types import SimpleNamespace

import detectron2.engine  # noqa: F401
import psutil  # noqa: F401
import torch
import torch.distributed.checkpoint
import torch.utils.tensorboard  # noqa: F401

_MISSING = {
    os: ("getuid", "getgid", "geteuid", "sched_getaffinity", "fork", "register_at_fork", "sysconf", "sync"),
    signal: ("SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGKILL"),
    select: ("poll",),
}


def _hide_names() -> None:
    for module, names in _MISSING.items():
        for name in names:
            delattr(module, name)
    sys.modules["resource"] = None  # type: ignore[assignment]
    members = {name: member for name, member in signal.Signals.__members__.items() if name not in _MISSING[signal]}
    signal.Signals._member_map_ = members  # type: ignore[misc]
    os.open, os.fsync = _open, _fsync


_unix_open, _unix_fsync = os.open, os.fsync
_read_only = set()


def _open(path, flags, *args, **kwargs):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    descriptor = _unix_open(path, flags, *args, **kwargs)
    if flags & (os.O_WRONLY | os.O_RDWR):
        _read_only.discard(descriptor)
    else:
        _read_only.add(descriptor)
    return descriptor


def _fsync(descriptor):
    number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
    if number in _read_only:
        raise OSError(9, "Bad file descriptor")
    _unix_fsync(descriptor)


if __name__ == "__main__":
    _hide_names()
    from eva_engine import atomic
    from eva_engine.commands.verbs import main
    from eva_engine.prediction import write_behind

    for module in (atomic, write_behind):  # the standard library also asks which system it is
        module.sys = SimpleNamespace(platform="win32")  # type: ignore[assignment]
    sys.exit(main(sys.argv[1:], "python -m tools"))
