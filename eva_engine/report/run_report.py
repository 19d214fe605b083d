"""Write the page of a run of any task, from its recipe and its output folder."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.evaluation.testing import flatten_results_dict
from omegaconf import DictConfig, OmegaConf

from eva_engine.config import find_task_of_config

from .curves import read_curves
from .explanation import read_explanation
from .image_pairs import ImagePair
from .page import Results, write_report
from .run_commands import evaluation_command, run_commands
from .run_facts import run_facts
from .sections import Section

logger = logging.getLogger(__name__)

# Returns images, and a sentence on how they were chosen.
MakeImagePairs = Callable[[], tuple[Sequence[ImagePair], str]]


def write_run_report(
    cfg: DictConfig,
    results: Mapping[str, Any] | None = None,
    *,
    config_file: str = "",
    title: str = "",
    summary: str = "",
    data_name: str = "",
    other_results: Mapping[str, Results] | None = None,
    image_pairs: MakeImagePairs | None = None,
    facts: Mapping[str, str] | None = None,
    command: str = "",
    trained: bool = True,
) -> Path | None:
    """Write `train.output_dir`/index.html for a run of any task; called on rank 0 only.

    The page explains the last evaluation, if its evaluator can.

    An error in the report must not lose a finished training: every error is logged in one line.

    Args:
        cfg: Recipe as it was run.
        results: Results of the last evaluation, nested as by the evaluator; by default results.json of the output
            folder.
        config_file: File of the recipe, which the page mentions.
        title: Title of the page; by default the name of the recipe or, for config.yaml, of the output folder.
        summary: One or two sentences below the title.
        data_name: Name of the test data in the table; by default that of the dataset.
        other_results: Metrics on other data, by its name, which are shown below those on the test data.
        image_pairs: Function that draws the images; by default that of the task, if it has one.
        facts: Facts to add to those of `run_facts`, or to replace those of the same name.
        command: Shell command that repeats the run; by default training and evaluation with config.yaml.
        trained: Whether the run was a training; otherwise `train.init_checkpoint` was evaluated.

    Returns:
        Path of the page, or None if it could not be written.
    """
    try:
        output_dir = Path(cfg.train.output_dir)
        results = _read_results(output_dir) if results is None else results
        all_results = {data_name or _test_data(cfg): _by_task(results)} if results else {}
        pairs, note = _image_pairs(image_pairs or partial(_task_images, cfg))
        return write_report(
            output_dir,
            title=title or _title(output_dir, config_file),
            summary=summary,
            results=all_results | dict(other_results or {}),
            pairs=pairs,
            pairs_note=note,
            sections=_explanation(output_dir),
            facts=run_facts(cfg, read_curves(output_dir / "metrics.json"), config_file, trained) | dict(facts or {}),
            command=command or _command(cfg, output_dir, config_file, trained),
        )
    except Exception as error:
        logger.warning("No report was written: %s", _in_one_line(error))
        return None


def _title(output_dir: Path, config_file: str) -> str:
    is_recipe = config_file and Path(config_file).name != "config.yaml"  # which every run has
    return Path(config_file).stem if is_recipe else output_dir.resolve().name


def _command(cfg: DictConfig, output_dir: Path, config_file: str, trained: bool) -> str:
    if not trained:
        return evaluation_command(output_dir, str(cfg.train.init_checkpoint), f"{output_dir}_again", config_file)
    return run_commands(output_dir, cfg.dataloader.get("evaluator") is not None, config_file)


def _explanation(output_dir: Path) -> list[Section]:
    try:
        return read_explanation(output_dir)
    except Exception as error:
        logger.warning("The report does not explain the evaluation: %s", _in_one_line(error))
        return []


def _image_pairs(make: MakeImagePairs) -> tuple[Sequence[ImagePair], str]:
    try:
        return make()
    except Exception as error:
        logger.warning("The report has no images: %s", _in_one_line(error))
        return (), ""


def _task_images(cfg: DictConfig) -> tuple[Sequence[ImagePair], str]:
    task = find_task_of_config(cfg)
    find_images = None if task is None else task.load("image_pairs")
    return ((), "") if find_images is None else find_images(cfg)


def _in_one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _read_results(output_dir: Path) -> Mapping[str, Any]:
    file = output_dir / "results.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _by_task(results: Mapping[str, Any]) -> Results:
    """Flatten nested results to two levels: the last part of a path is the metric, the rest is the task."""
    by_task: dict[str, dict[str, float]] = {}
    for path, value in flatten_results_dict(results).items():
        task, _, metric = path.rpartition("/")
        by_task.setdefault(task, {})[metric] = value
    return by_task


def _test_data(cfg: DictConfig) -> str:
    names = OmegaConf.select(cfg, "dataloader.test.dataset.names", default=None) or "test data"
    return names if isinstance(names, str) else ", ".join(names)
