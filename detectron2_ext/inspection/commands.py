"""The shell commands that make use of a weight file with a recipe."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from detectron2_ext.report.run_commands import EVALUATE, TRAIN, override

from .fits import Fit
from .words import predicts

_PREDICT = "python -m tools predict"


def commands(fit: Fit, weights: Path) -> Iterator[tuple[str, str]]:
    """Verb and command line: evaluation and prediction for the recipe's own model, and training from the file."""
    config, start = f"--config-file {shlex.quote(fit.recipe.path)}", override("train.init_checkpoint", str(weights))
    if fit.is_same_model:
        if fit.recipe.has_evaluation:
            yield "evaluate", f"{EVALUATE} {config} {start}"
        if predicts(fit.model):
            file = shlex.quote(str(weights))
            yield "predict", f"{_PREDICT} {config} --weights {file} --input FILES --output output/predictions"
    yield "train", f"{TRAIN} {config} {start} train.output_dir=output/from_{weights.stem}"
