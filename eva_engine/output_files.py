"""Output files and folders of commands: check them before the work starts, write them atomically, report failures."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eva_backbone.errors import InputError

from .atomic import atomic_path
from .disk_space import OutputError, disk_full_as_input_error, require_disk_space, system_errors

_FAILED_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_DISK_FULL_ADVICE = "name an output on another disk"


def writing_failure(error: Exception, folder: str | Path) -> OutputError | None:
    """Return the error for the user if `error` is due to writing to the output `folder`; None if it is not."""
    if not Path(folder).is_dir():
        return OutputError(f"{folder} was moved or deleted while it was written to; start again, with another folder.")
    for cause in system_errors(error):
        name = os.fsdecode(cause.filename) if isinstance(cause.filename, str | bytes) else ""
        if cause.errno in _FAILED_WRITES or (name and Path(name).is_relative_to(folder)):
            reason = cause.strerror or cause
            return OutputError(
                f"{name or folder} cannot be written ({reason}); free some space, or give another folder."
            )
    return None


def unwritable_reason(folder: str | Path) -> str | None:
    """Return why files cannot be written to `folder`, which need not exist yet; None if no reason is known."""
    if not os.path.isdir(folder) and os.path.lexists(folder):
        return os.strerror(errno.EEXIST)
    existing = Path(folder).absolute()
    while not os.path.lexists(existing):
        existing = existing.parent
    if not os.path.isdir(existing):
        return os.strerror(errno.ENOTDIR)
    if os.access(existing, os.W_OK | os.X_OK):
        return None
    # Windows has no statvfs.
    is_read_only = hasattr(os, "statvfs") and os.statvfs(existing).f_flag & os.ST_RDONLY
    return os.strerror(errno.EROFS if is_read_only else errno.EACCES)


def check_output_folder(folder: Path) -> None:
    """Check before the work starts that the results of a command can be written to its `--output`.

    Raises:
        InputError: `folder` is a file, or cannot be created or written.
    """
    if folder.is_file():
        raise InputError(f"--output {folder} is a file; name a folder")
    reason = unwritable_reason(folder)
    if reason:
        action = "written" if folder.is_dir() else "created"
        raise InputError(f"--output {folder} cannot be {action} ({reason}); name another folder")


def clear_output(folder: Path, names: Iterable[str]) -> None:
    """Create `folder`, or delete from it what an earlier run of the command wrote.

    Args:
        folder: Output folder of the command.
        names: File and folder names that the command writes; wildcards are allowed.

    Raises:
        InputError: `folder` is a file, or cannot be created.
    """
    check_output_folder(folder)
    old: list[Path] = []
    for name in names:
        old += folder.glob(name)
    if old:
        print(f"{folder} contains the results of an earlier run, which are replaced.")
    for path in old:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # that the check has not foreseen
        raise InputError(f"--output {folder} cannot be created ({error.strerror}); name another folder") from error


def check_output_file(output: Path, source: Path | None = None) -> None:
    """Check before the work starts that the file `output` can be written.

    Args:
        output: File to be written.
        source: Input file, which must not be overwritten.

    Raises:
        InputError: `output` is a folder, has no parent folder, or is `source` itself.
    """
    if output.is_dir():
        raise InputError(f"the output {output} is a folder; name a file in it.")
    if source is not None and output.exists() and source.exists() and output.samefile(source):
        raise InputError(f"the output {output} is the input itself; name another output.")
    if not output.parent.is_dir():
        raise InputError(f"the folder {output.parent} of the output does not exist; create it first.")


@contextmanager
def output_file(path: Path, num_bytes: int) -> Iterator[Path]:
    """Yield a temporary file that becomes the output file `path` after the block; see `atomic_path`.

    Args:
        path: Output file that the user asked for.
        num_bytes: Approximate size of the file.

    Raises:
        InputError: The disk is too full, or the file cannot be written.
    """
    try:
        require_disk_space(path, num_bytes, _DISK_FULL_ADVICE)
        with disk_full_as_input_error(path, num_bytes, _DISK_FULL_ADVICE), atomic_path(path) as partial:
            yield partial
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); name another output.") from error
