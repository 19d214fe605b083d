"""The checkpoints in the output folder of a run: list them, find the last one, delete old ones."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_write, sync_to_disk
from eva_engine.text_file import read_text

_LAST_NAME = "last_checkpoint"  # Detectron2's text file with the name of the checkpoint to resume from
_NUMBERED = re.compile(r"model_(\d+)(\.pth)?")
_PARTIAL = ".partial"
_REPLACED = ".replaced"


@dataclass(frozen=True)
class RunFolder:
    """The output folder of a run.

    Checkpoints are files `model_NUMBER.pth`, folders `model_NUMBER`, and the one that `last_checkpoint` names. Names of
    incomplete files and folders start with a dot.
    """

    path: Path

    def partial_folder(self, name: str) -> Path:
        """Return the temporary folder in which the checkpoint folder `name` is written."""
        return self.path / f".{name}{_PARTIAL}"

    def publish_folder(self, name: str) -> None:
        """Rename the complete temporary folder to `name`; an existing folder of that name is deleted."""
        path, replaced = self.path / name, self.path / f".{name}{_REPLACED}"
        if path.exists():  # a folder cannot be replaced atomically; `clean` handles an interruption here
            os.rename(path, replaced)
        os.rename(self.partial_folder(name), path)
        sync_to_disk(self.path)
        shutil.rmtree(replaced, ignore_errors=True)

    def clean(self) -> None:
        """Remove incomplete files of a killed run, and restore a checkpoint that it was about to replace."""
        for replaced in self.path.glob(f".*{_REPLACED}"):
            original = self.path / replaced.name.removeprefix(".").removesuffix(_REPLACED)
            if original.exists():
                shutil.rmtree(replaced)
            else:
                os.rename(replaced, original)
        for pattern in (f".*{_PARTIAL}", f".*{_PARTIAL}.*"):  # of checkpoints, and of other files of the run
            for partial in self.path.glob(pattern):
                _delete(partial)

    def set_last(self, name: str) -> None:
        """Make `name` the checkpoint that a run is resumed from."""
        with atomic_write(self.path / _LAST_NAME) as file:
            file.write(name.encode())

    def has_last(self) -> bool:
        """Return whether there is a `last_checkpoint`, whatever is in it."""
        return (self.path / _LAST_NAME).exists()

    def last(self) -> Path | None:
        """Return the checkpoint that `last_checkpoint` names, which may not exist; None if it names none."""
        try:
            text = read_text(self.path / _LAST_NAME, "name of a checkpoint", "delete it", max_bytes=4096)
        except InputError:
            return None
        name = Path(text.strip()).name
        is_name = name.isprintable() and not name.startswith(".") and 0 < len(os.fsencode(name)) < 256
        return self.path / name if is_name else None

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints to resume from, in order of preference.

        The one that `last_checkpoint` names comes first, then the numbered ones by decreasing number. Modification
        times are ignored, because copying a folder changes them.
        """
        if not self.path.is_dir():
            return []
        numbered = []
        for path in self.path.iterdir():
            match = _NUMBERED.fullmatch(path.name)
            if match:
                numbered.append((int(match[1]), path))
        found = [path for _, path in sorted(numbered, reverse=True)]
        last = self.last()
        if last is None or not last.exists():
            return found
        return [last, *(path for path in found if path != last)]

    def check_new(self) -> None:
        """Check that the folder is free for a new run.

        Raises:
            InputError: It contains checkpoints of an earlier run.
        """
        earlier = self.checkpoints()
        if earlier:
            raise InputError(
                f"{self.path} contains checkpoints of an earlier run, the last one is {earlier[0].name}; add --resume "
                "to continue it, or give a new folder with train.output_dir"
            )

    def best(self) -> Path | None:
        """Return the best checkpoint; None if the run did not keep it."""
        for best in (self.path / "model_best.pth", self.path / "model_best"):  # the second one is sharded
            if best.exists():
                return best
        return None

    def best_or_last(self) -> Path | None:
        """Return the best checkpoint if the run kept it, else the one to resume from; None if there are none."""
        return self.best() or next(iter(self.checkpoints()), None)

    def prune(self, max_to_keep: int) -> None:
        """Delete all numbered checkpoints except the `max_to_keep` newest ones."""
        numbered = [path for path in self.checkpoints() if _NUMBERED.fullmatch(path.name)]
        for path in numbered[max_to_keep:]:
            if path.is_dir():  # renamed first, so that a half-deleted folder does not look like a checkpoint
                path = path.rename(self.partial_folder(path.name))
            _delete(path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
