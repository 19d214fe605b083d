"""The shell commands that train and evaluate a finished run once more."""

import re
import shlex
from pathlib import Path

TRAIN, EVALUATE = "python -m tools train", "python -m tools evaluate"


def run_commands(output_dir: Path, evaluated: bool) -> str:
    """Training from config.yaml into a folder of its own and, if something was `evaluated`, evaluation of the weights.

    The weights are the best ones where they were kept, else those of the last checkpoint.
    """
    config = shlex.quote(str(output_dir / "config.yaml"))
    lines = [f"{TRAIN} --config-file {config} {override('train.output_dir', f'{output_dir}_again')}"]
    weights = _weights(output_dir)
    if evaluated and weights is not None:
        lines.append(
            f"{EVALUATE} --config-file {config} {override('train.init_checkpoint', str(weights))} "
            f"{override('train.output_dir', f'{output_dir}_evaluation')}"
        )
    return "\n".join(lines)


def _weights(output_dir: Path) -> Path | None:
    pointer = output_dir / "last_checkpoint"
    for best in (output_dir / "model_best.pth", output_dir / "model_best"):  # the second is a sharded one
        if best.exists():
            return best
    return output_dir / pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else None


def override(key: str, value: str) -> str:
    """A change to a config for the shell, quoted for the grammar of overrides too where `value` is no plain path."""
    if re.fullmatch(r"[\w./-]+", value):
        return f"{key}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.quote(f'{key}="{escaped}"')
