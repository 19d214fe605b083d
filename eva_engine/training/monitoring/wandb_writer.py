"""Log the scalars of a run to Weights & Biases; the package wandb is an optional dependency."""

from pathlib import Path
from typing import Any

import wandb
from detectron2.utils.events import EventWriter, get_event_storage

from eva_engine.text_file import read_text

from .scalars import NewScalars


class WandbWriter(EventWriter):
    """Log to a W&B run in `project` that is named after `output_dir`.

    The id of the W&B run is stored in `output_dir`/wandb_run_id, so that a resumed training continues it. The service
    ignores steps that it already has; an exact resume would repeat their values anyway.

    Args:
        project: Name of the W&B project.
        output_dir: Folder of the run.
        start_iter: First iteration of this process; above 0 if the run is resumed.
        settings: Settings of the recipe, which W&B shows next to the curves.
    """

    def __init__(self, project: str, output_dir: str | Path, start_iter: int, settings: dict[str, Any]) -> None:
        output_dir = Path(output_dir)
        id_file = output_dir / "wandb_run_id"
        run_id = None
        if start_iter > 0 and id_file.is_file():
            run_id = read_text(id_file, "id of a W&B run", "delete it to start a new one", max_bytes=128).strip()
        self._run = wandb.init(
            project=project,
            dir=str(output_dir),
            name=output_dir.name,
            config=settings,
            allow_val_change=True,
            id=run_id,
            resume="allow",
        )
        id_file.write_text(self._run.id, encoding="utf-8")
        self._new = NewScalars()

    def write(self) -> None:
        """Log all new values."""
        for iteration, values in self._new.take(get_event_storage()):
            self._run.log(values, step=iteration)

    def close(self) -> None:
        """Finish the W&B run."""
        self._run.finish()
