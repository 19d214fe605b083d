"""Log the scalars of a run to Weights & Biases, trackio or MLflow; their packages are optional dependencies."""

import logging
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils.events import EventWriter, get_event_storage

from eva_backbone.errors import InputError
from eva_engine.safe_text import printable
from eva_engine.text_file import read_text

from .scalars import NewScalars

logger = logging.getLogger(__name__)


class Tracker(EventWriter):
    """Log to a run of a tracker that is named after `output_dir`.

    Its id is stored in `output_dir`/NAME_run_id, so that a resumed training continues it. After an error of the
    service, which is logged, the training continues without.

    Args:
        name: Name of the tracker, a key of `STARTS`.
        project: Project or experiment at the tracker.
        output_dir: Folder of the run.
        start_iter: First iteration of this process; above 0 if the run is resumed.
        settings: Settings of the recipe, which are shown next to the curves.

    Raises:
        InputError: The tracker cannot start a run.
    """

    def __init__(
        self, name: str, project: str, output_dir: str | Path, start_iter: int, settings: dict[str, Any]
    ) -> None:
        output_dir = Path(output_dir)
        id_file = output_dir / f"{name}_run_id"
        run_id = None
        if start_iter > 0 and id_file.is_file():
            run_id = read_text(id_file, f"id of a {name} run", "delete it to start a new one", max_bytes=128).strip()
        self._name = name
        try:
            run_id, self._log, self._finish = STARTS[name](project, output_dir, run_id, settings)
        except Exception as error:  # services and their clients can fail in many ways
            raise InputError(
                f"{name} cannot start a run for {project} ({_reason(error)}); correct its settings, or do not use it"
            ) from error
        id_file.write_text(run_id, encoding="utf-8")
        self._new = NewScalars()
        self._has_failed = False

    def write(self) -> None:
        """Log all new values."""
        for iteration, values in self._new.take(get_event_storage()):
            self._try(self._log, values, iteration)

    def close(self) -> None:
        """Finish the run at the tracker."""
        self._try(self._finish)

    def _try(self, call: Callable[..., Any], *args: Any) -> None:
        if self._has_failed:
            return
        try:
            call(*args)
        except Exception as error:
            self._has_failed = True
            logger.warning("Nothing more is logged to %s (%s); metrics.json continues.", self._name, _reason(error))


def _reason(error: Exception) -> str:
    return printable(" ".join(f"{type(error).__name__}: {error}".split()), 300)


# Returns the id of a run, and functions that log its values at an iteration and finish it.
_Started = tuple[str, Callable[[dict[str, float], int], Any], Callable[[], Any]]


def _start_wandb(project: str, output_dir: Path, run_id: str | None, settings: dict[str, Any]) -> _Started:
    import wandb

    options = {"name": output_dir.name, "config": settings, "allow_val_change": True}
    run = wandb.init(project=project, dir=str(output_dir), id=run_id, resume="allow", **options)
    # The service ignores steps that it already has; an exact resume would repeat their values anyway.
    return run.id, lambda values, step: run.log(values, step=step), run.finish


def _start_trackio(project: str, output_dir: Path, run_id: str | None, settings: dict[str, Any]) -> _Started:
    import trackio

    resume = "never" if run_id is None else "allow"
    run_id = run_id or f"{output_dir.name}-{secrets.token_hex(3)}"  # runs are resumed by name
    options: dict[str, Any] = {"embed": False, "auto_log_cpu": False, "auto_log_gpu": False}
    run = trackio.init(project, name=run_id, config=settings, resume=resume, **options)
    return run_id, run.log, trackio.finish


def _start_mlflow(project: str, output_dir: Path, run_id: str | None, settings: dict[str, Any]) -> _Started:
    import mlflow
    from mlflow.entities import Metric

    client = mlflow.MlflowClient()
    if run_id is None:
        experiment = client.get_experiment_by_name(project)
        experiment_id = client.create_experiment(project) if experiment is None else experiment.experiment_id
        run_id = client.create_run(experiment_id, run_name=output_dir.name).info.run_id
        for name, value in flatten_results_dict(settings).items():
            client.log_param(run_id, name, str(value)[:500])
    else:
        client.update_run(run_id, status="RUNNING")

    def log(values: dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        # Names of classes may have characters that names of metrics cannot have.
        named = {re.sub(r"[^\w\-. /]", "_", name): value for name, value in values.items()}
        client.log_batch(run_id, metrics=[Metric(name, value, now, step) for name, value in named.items()])

    return run_id, log, lambda: client.set_terminated(run_id)


STARTS = {"wandb": _start_wandb, "trackio": _start_trackio, "mlflow": _start_mlflow}
