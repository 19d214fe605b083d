"""Shell commands that repeat the training and the evaluation of a finished run."""

import shlex
from pathlib import Path

from eva_engine.checkpoint.run_folder import RunFolder
from eva_engine.commands.cli import override_text

TRAIN, EVALUATE = "python -m tools train", "python -m tools evaluate"


def run_commands(output_dir: Path, evaluated: bool, recipe: str = "") -> str:
    """Return commands, one per line, that train and evaluate with config.yaml and write to other folders.

    The evaluation uses the best weights if they were kept, else those of the last checkpoint.

    Args:
        output_dir: Output folder of the run.
        evaluated: Whether the run has an evaluation.
        recipe: File of the recipe; one of the user has to be named, because config.yaml may name its classes.
    """
    config = _config(output_dir, recipe)
    lines = [f"{TRAIN} --config-file {config} {override('train.output_dir', f'{output_dir}_again')}"]
    weights = RunFolder(output_dir).best() or RunFolder(output_dir).last()
    if evaluated and weights is not None:
        lines.append(evaluation_command(output_dir, str(weights), f"{output_dir}_evaluation", recipe))
    return "\n".join(lines)


def evaluation_command(output_dir: Path, weights: str, target: str, recipe: str = "") -> str:
    """Return the command that evaluates `weights` with config.yaml of `output_dir` and writes to the folder `target`.

    Args:
        output_dir: Output folder of a run.
        weights: File of weights.
        target: Another folder.
        recipe: See `run_commands`.
    """
    return (
        f"{EVALUATE} --config-file {_config(output_dir, recipe)} {override('train.init_checkpoint', weights)} "
        f"{override('train.output_dir', target)}"
    )


def _config(output_dir: Path, recipe: str) -> str:
    config = shlex.quote(str(output_dir / "config.yaml"))
    if recipe.endswith(".py") and not recipe.startswith("projects/"):
        config += f" --trust-recipe {shlex.quote(recipe)}"
    return config


def override(key: str, value: str) -> str:
    """Return a config override for the shell, quoted for both the shell and the override syntax if necessary."""
    text = override_text(key, value)
    return shlex.quote(text) if '"' in text else text
