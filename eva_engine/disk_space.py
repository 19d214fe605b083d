"""Report a full disk as one sentence with advice, before and while a large file is written."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eva_backbone.errors import InputError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class OutputError(InputError):
    """Results cannot be written; the command ends with status 1."""


def require_disk_space(path: Path, num_bytes: int, advice: str) -> None:
    """Check before writing that there is enough disk space.

    Args:
        path: File or folder that will be written; its parent folder must exist.
        num_bytes: Size of what will be written.
        advice: How the user can fix a full disk; ends the message of the error.

    Raises:
        OutputError: The file system of `path` has fewer than `num_bytes` bytes free.
    """
    if shutil.disk_usage(path.parent).free < num_bytes:
        raise _disk_full_error(path, num_bytes, advice)


@contextmanager
def disk_full_as_input_error(path: Path, num_bytes: int, advice: str) -> Iterator[None]:
    """Turn an error in the block that was caused by a full disk into an OutputError; see `require_disk_space`."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if any(cause.errno in _FULL for cause in system_errors(error)):
            raise _disk_full_error(path, num_bytes, advice) from error
        raise


def system_errors(error: BaseException) -> Iterator[OSError]:
    """Yield the errors of the system that led to `error`; torch's file writer raises a RuntimeError on top of them."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            yield cause
        cause = cause.__cause__ or cause.__context__


def _disk_full_error(path: Path, num_bytes: int, advice: str) -> OutputError:
    free = shutil.disk_usage(path.parent).free
    return OutputError(f"{path} needs {num_bytes:,} bytes and {free:,} are free; {advice}.")
