"""The checkpoints in the output folder of a run: which there are, which is the last, and what is to be deleted."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from eva_engine.atomic import atomic_write, sync_to_disk

_LAST_NAME = "last_checkpoint"  # Detectron2's: a text file with the name of the checkpoint a run is resumed from
_NUMBERED = re.compile(r"model_(\d+)(\.pth)?")
_PARTIAL = ".partial"
_REPLACED = ".replaced"


@dataclass(frozen=True)
class RunFolder:
    """The output folder of a run.

    Checkpoints are files `model_NUMBER.pth` or folders `model_NUMBER`, and whatever `last_checkpoint` names. What is
    not complete has a name of its own, which starts with a dot.
    """

    path: Path

    def partial_folder(self, name: str) -> Path:
        """Where the folder `name` is written until it is complete."""
        return self.path / f".{name}{_PARTIAL}"

    def publish_folder(self, name: str) -> None:
        """Give the complete partial folder its name; an earlier one of that name goes."""
        path, replaced = self.path / name, self.path / f".{name}{_REPLACED}"
        if path.exists():  # a folder cannot be replaced in one step: see clean
            os.rename(path, replaced)
        os.rename(self.partial_folder(name), path)
        sync_to_disk(self.path)
        shutil.rmtree(replaced, ignore_errors=True)

    def clean(self) -> None:
        """Remove what a killed writer left, and bring back what it was about to replace."""
        for replaced in self.path.glob(f".*{_REPLACED}"):
            original = self.path / replaced.name.removeprefix(".").removesuffix(_REPLACED)
            if original.exists():
                shutil.rmtree(replaced)
            else:
                os.rename(replaced, original)
        for pattern in (f".*{_PARTIAL}", f".*{_PARTIAL}.*"):  # of checkpoints, and of the run's other files
            for partial in self.path.glob(pattern):
                _delete(partial)

    def point_at(self, name: str) -> None:
        """Make the checkpoint `name` the last one."""
        with atomic_write(self.path / _LAST_NAME) as file:
            file.write(name.encode())

    def last(self) -> Path | None:
        """The checkpoint that `last_checkpoint` names, which may be gone; None without such a file."""
        try:
            return self.path / Path((self.path / _LAST_NAME).read_text().strip()).name
        except (OSError, ValueError):
            return None

    def checkpoints(self) -> list[Path]:
        """Those a run can be resumed from: first what `last_checkpoint` names, then by falling number.

        Times of files are not looked at, which copying changes.
        """
        if not self.path.is_dir():
            return []
        numbered = [(int(match[1]), path) for path in self.path.iterdir() if (match := _NUMBERED.fullmatch(path.name))]
        found = [path for _, path in sorted(numbered, reverse=True)]
        last = self.last()
        return [last, *(path for path in found if path != last)] if last is not None and last.exists() else found

    def prune(self, max_to_keep: int) -> None:
        """Delete all but the newest `max_to_keep` of the numbered checkpoints."""
        numbered = [path for path in self.checkpoints() if _NUMBERED.fullmatch(path.name)]
        for path in numbered[max_to_keep:]:
            if path.is_dir():  # one name at a time would leave a folder that looks like a checkpoint
                path = path.rename(self.partial_folder(path.name))
            _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
