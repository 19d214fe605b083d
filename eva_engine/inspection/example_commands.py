"""The shell commands that make use of a weight file with a recipe."""

import shlex
from collections.abc import Iterator
from inspect import signature
from pathlib import Path

from eva_engine.prediction import find_task
from eva_engine.report.run_commands import EVALUATE, TRAIN, override

from .compatibility import Fit
from .describe import predicts

_PREDICT = "python -m tools predict"
_EXAMPLES = {"image": "photo.jpg", "video": "clip.mp4"}


def example_commands(fit: Fit, weights: Path) -> Iterator[tuple[str, str]]:
    """Verb and command line: evaluation and prediction for the recipe's own model, and training from the file."""
    config, start = f"--config-file {shlex.quote(fit.recipe.path)}", override("train.init_checkpoint", str(weights))
    if fit.is_same_model:
        if fit.recipe.has_evaluation:
            yield "evaluate", f"{EVALUATE} {config} {start}"
        if predicts(fit.model):
            task = find_task(fit.recipe.cfg)
            labels = ' --labels "a cat" "a dog"' if "labels" in signature(task).parameters else ""
            files = f"--weights {shlex.quote(str(weights))} --input {_EXAMPLES[task.kinds[0]]}{labels}"
            yield "predict", f"{_PREDICT} {config} {files} --output output/predictions"
    output = override("train.output_dir", f"output/from_{weights.stem}")
    yield "train", f"{TRAIN} {config} {start} {output}"
