"""Shell commands that use a weight file with a recipe."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from eva_engine.config import task_of_config
from eva_engine.report.run_commands import EVALUATE, TRAIN, override

from .compatibility import Compatibility
from .weight_facts import has_prediction

_PREDICT = "python -m tools predict"
_EXAMPLE_FILES = {"image": "photo.jpg", "video": "clip.mp4"}


def example_commands(found: Compatibility, weights: Path) -> Iterator[tuple[str, str]]:
    """Yield verbs and command lines: evaluation and prediction if the model is the recipe's, and training."""
    config = f"--config-file {shlex.quote(found.recipe.path)}"
    start = override("train.init_checkpoint", str(weights))
    if found.is_same_model:
        if found.recipe.has_evaluation:
            yield "evaluate", f"{EVALUATE} {config} {start}"
        if has_prediction(found.model):
            yield "predict", _predict_command(found, config, weights)
    output = override("train.output_dir", f"output/from_{weights.stem}")
    yield "train", f"{TRAIN} {config} {start} {output}"


def _predict_command(found: Compatibility, config: str, weights: Path) -> str:
    task = task_of_config(found.recipe.cfg)
    example = _EXAMPLE_FILES[task.load("file_task").kinds[0]]
    required = [f"{option.flag} {option.example}" for option in task.predict_options if option.is_required]
    files = ["--weights", shlex.quote(str(weights)), "--input", example]
    return " ".join([_PREDICT, config, *files, *required, "--output output/predictions"])
