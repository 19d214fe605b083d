"""Output files and folders of commands: checked before the work, complete or absent after it."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path


def clear_output(folder: Path, names: Iterable[str]) -> None:
    """Make `folder`, without what an earlier run of the command left there; `names`: what it writes, wildcards allowed.

    Raises:
        InputError: `folder` is a file, or cannot be made.
    """
    if folder.is_file():
        raise InputError(f"--output {folder} is a file; name a folder")
    old = [path for name in names for path in folder.glob(name)]
    if old:
        print(f"{folder} holds an earlier run, which is replaced.")
    for path in old:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output {folder} cannot be made ({error.strerror}); name another folder") from error


def check_output_file(output: Path, source: Path | None = None) -> None:
    """Find out before the work whether the file `output`, made from the file `source`, can be written.

    Raises:
        InputError: its folder is missing, it is a folder, or it is `source` itself.
    """
    if output.is_dir():
        raise InputError(f"the output {output} is a folder; name a file in it.")
    if source is not None and output.exists() and source.exists() and output.samefile(source):
        raise InputError(f"{output} is the input itself; name another output.")
    if not output.parent.is_dir():
        raise InputError(f"the folder {output.parent} of the output does not exist; make it first.")


@contextmanager
def output_file(path: Path, num_bytes: int) -> Iterator[Path]:
    """What `atomic_path` gives, for a file of about `num_bytes` that the user asked for.

    Raises:
        InputError: the disk has no room for it, or it cannot be written there.
    """
    try:
        free = shutil.disk_usage(path.parent).free
        if free < num_bytes:
            raise InputError(f"{path} needs {num_bytes:,} bytes and {free:,} are free; name an output on another disk.")
        with atomic_path(path) as partial:
            yield partial
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); name another output.") from error
