"""Scalars of a run to Weights & Biases, which is not installed with the rest."""

from pathlib import Path
from typing import Any

import wandb
from detectron2.utils.events import EventWriter, get_event_storage

from .scalars import NewScalars


class WandbWriter(EventWriter):
    """Logs to a run of `project` that is named after `output_dir`.

    Its id is kept in `output_dir`/wandb_run_id, so that a resumed training goes on with it: steps that the service has
    seen it ignores, and an exact resume repeats their values anyway.

    Args:
        settings: the recipe, shown beside the curves.
    """

    def __init__(self, project: str, output_dir: str | Path, start_iter: int, settings: dict[str, Any]) -> None:
        output_dir = Path(output_dir)
        id_file = output_dir / "wandb_run_id"
        known = id_file.read_text(encoding="utf-8").strip() if start_iter and id_file.is_file() else None
        place = {"project": project, "dir": str(output_dir), "name": output_dir.name}
        self._run = wandb.init(**place, config=settings, allow_val_change=True, id=known, resume="allow")
        id_file.write_text(self._run.id, encoding="utf-8")
        self._new = NewScalars()

    def write(self) -> None:
        """Hand on all new values."""
        for iteration, values in self._new.take(get_event_storage()):
            self._run.log(values, step=iteration)

    def close(self) -> None:
        """End the run there."""
        self._run.finish()
