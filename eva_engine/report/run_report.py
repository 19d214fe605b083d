"""The page of any run, put together from its recipe and its output folder."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.evaluation.testing import flatten_results_dict
from omegaconf import DictConfig, OmegaConf

from .curves import read_curves
from .image_pairs import ImagePair
from .page import Results, write_report
from .run_commands import run_commands
from .run_facts import run_facts

logger = logging.getLogger(__name__)

Pictures = Callable[[], tuple[Sequence[ImagePair], str]]  # pairs, and a sentence on how they were chosen


def write_run_report(
    cfg: DictConfig,
    results: Mapping[str, Any] | None = None,
    *,
    config_file: str = "",
    title: str = "",
    summary: str = "",
    data_name: str = "",
    other_results: Mapping[str, Results] | None = None,
    pictures: Pictures | None = None,
    facts: Mapping[str, str] | None = None,
    command: str = "",
) -> Path | None:
    """Write `train.output_dir`/index.html for a run of any task; for the first process only.

    A report is no reason to lose a finished training: whatever goes wrong is told in one line of the log.

    Args:
        cfg: the recipe as it was run.
        results: of the last evaluation, as the evaluator nests them; by default results.json of the output folder.
        config_file: the recipe's file, to be named on the page.
        title: heading; by default the name of `config_file` or of the output folder.
        data_name: the test data's name in the table; by default that of the data set.
        other_results: metrics on other data, by its name, below those on the test data.
        pictures: makes the pictures; by default those of a detection evaluator's predictions, if there are any.
        facts: added to those found out, or in the place of one of the same name.
        command: shell command that makes the run again; by default training and evaluation from config.yaml.

    Returns:
        The page, or None if it could not be written.
    """
    try:
        output_dir = Path(cfg.train.output_dir)
        results = _read_results(output_dir) if results is None else results
        all_results = {data_name or _test_data(cfg): _by_task(results)} if results else {}
        from detectron2_ext.report.detection_images import detection_image_pairs

        pairs, note = _pictures(pictures or (lambda: detection_image_pairs(cfg)))
        return write_report(
            output_dir,
            title=title or Path(config_file or output_dir.resolve()).stem,
            summary=summary,
            results=all_results | dict(other_results or {}),
            pairs=pairs,
            pairs_note=note,
            facts=run_facts(cfg, read_curves(output_dir / "metrics.json"), config_file) | dict(facts or {}),
            command=command or run_commands(output_dir, evaluated=cfg.dataloader.get("evaluator") is not None),
        )
    except Exception as error:
        logger.warning("No report was written: %s", _in_one_line(error))
        return None


def _pictures(make: Pictures) -> tuple[Sequence[ImagePair], str]:
    try:
        return make()
    except Exception as error:
        logger.warning("The report has no pictures: %s", _in_one_line(error))
        return (), ""


def _in_one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _read_results(output_dir: Path) -> Mapping[str, Any]:
    file = output_dir / "results.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _by_task(results: Mapping[str, Any]) -> Results:
    """Two levels of whatever nesting: the last part of a path names the metric, the rest the task."""
    by_task: dict[str, dict[str, float]] = {}
    for path, value in flatten_results_dict(results).items():
        task, _, metric = path.rpartition("/")
        by_task.setdefault(task, {})[metric] = value
    return by_task


def _test_data(cfg: DictConfig) -> str:
    names = OmegaConf.select(cfg, "dataloader.test.dataset.names", default=None) or "test data"
    return names if isinstance(names, str) else ", ".join(names)
