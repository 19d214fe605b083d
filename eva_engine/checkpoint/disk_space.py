"""A disk that is full, told from other failures of writing."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eva_backbone.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def require_space(path: Path, num_bytes: int) -> None:
    """Raise InputError unless the file system that `path` will lie on has `num_bytes` free."""
    if shutil.disk_usage(path.parent).free < num_bytes:
        raise _no_room(path, num_bytes)


@contextmanager
def full_disk_as_input_error(path: Path, num_bytes: int) -> Iterator[None]:
    """Turn a write that fails in the block because the disk is full into an InputError about `path`.

    torch's file writer hides the system's error behind one of its own, so whatever led to an error is looked at too.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in _FULL:
                raise _no_room(path, num_bytes) from error
            cause = cause.__cause__ or cause.__context__
        raise


def _no_room(path: Path, num_bytes: int) -> InputError:
    free = shutil.disk_usage(path.parent).free
    return InputError(
        f"The checkpoint {path} needs {num_bytes:,} bytes and {free:,} are free; "
        "free some space or lower train.checkpointer.max_to_keep."
    )
