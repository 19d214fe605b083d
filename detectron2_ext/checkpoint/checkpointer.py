"""Saving and resuming training runs; a Detectron2 checkpointer that reads weights as the rest of this package does."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.checkpoint import DetectionCheckpointer

from detectron2_ext.atomic import atomic_write
from eva_backbone.errors import InputError

from .files import read_file, select_weights
from .loading import assign_weights

logger = logging.getLogger(__name__)


class Checkpointer(DetectionCheckpointer):
    """Detectron2's checkpointer with safe reading, reported name matching and atomic writing.

    Initial weights may lack entries or have some of another size (see :func:`.load_checkpoint`); a run is resumed only
    from a file that fits the model exactly. Works in Detectron2's PeriodicCheckpointer and BestCheckpointer hooks.
    """

    def load(self, path: str, checkpointables: Sequence[str] | None = None) -> dict[str, Any]:
        """Load weights, and the state of those `checkpointables` (default: all) the file has; returns what is left."""
        if not path:
            logger.info("No weights given: the model keeps its initial values")
            return {}
        return self._load(Path(self._local_path(path)), checkpointables, strict=False)

    def resume_or_load(self, path: str, *, resume: bool = True) -> dict[str, Any]:
        """With `resume`, go on from the last checkpoint in `save_dir` if there is one; else load weights `path`."""
        if resume and self.has_checkpoint():
            return self._load(Path(self.get_checkpoint_file()), None, strict=True)
        return self.load(path, checkpointables=[])

    def save(self, name: str, **kwargs: Any) -> None:
        """Write model, checkpointables and `kwargs` to `save_dir`/`name`.pth, then point `last_checkpoint` at it."""
        if not self.save_dir or not self.save_to_disk:
            return
        path = Path(self.save_dir) / f"{name}.pth"
        states = {key: item.state_dict() for key, item in self.checkpointables.items()}
        logger.info("Saving checkpoint to %s", path)
        with atomic_write(path) as file:
            torch.save({"model": self.model.state_dict(), **states, **kwargs}, file)
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        if unsafe:
            logger.error("%s holds objects that will be refused when it is read again: %s", path, ", ".join(unsafe))
        self.tag_last_checkpoint(path.name)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        """Make `last_filename_basename` the checkpoint that a resumed run starts from."""
        with atomic_write(Path(self.save_dir) / "last_checkpoint") as file:
            file.write(last_filename_basename.encode())

    def _local_path(self, path: str) -> str:
        if "://" not in path:
            return path
        # "?matching_heuristics=True" of stock configs: names are matched by the prefix map anyway
        return self.path_manager.get_local_path(path.partition("?")[0])

    def _load(self, path: Path, checkpointables: Sequence[str] | None, *, strict: bool) -> dict[str, Any]:
        content = read_file(path)
        assign_weights(self.model, select_weights(content, path), path, strict=strict)
        content = dict(content) if isinstance(content, dict) and "model" in content else {}
        content.pop("model", None)
        for key in self.checkpointables if checkpointables is None else checkpointables:
            if key in content:
                logger.info("Restoring %s from %s", key, path)
                self._restore(key, content.pop(key), path)
            elif strict:
                raise InputError(
                    f"{path} has no entry {key!r}, so the run cannot be resumed from it; "
                    "give it as initial weights of a new run instead."
                )
        return content

    def _restore(self, key: str, state: Any, path: os.PathLike) -> None:
        try:
            self.checkpointables[key].load_state_dict(state)
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise InputError(
                f"{path}: its entry {key!r} does not fit this run ({error}); resume with the config that wrote it."
            ) from error
