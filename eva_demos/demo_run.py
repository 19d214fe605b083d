"""Shared code of the demos: their command, their output folder and their training run."""

import argparse
import json
import shlex
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eva_backbone.errors import InputError
from eva_engine.commands.cli import command_parser, positive_int, run_command
from eva_engine.commands.import_time import defer_slow_imports
from eva_engine.output_files import check_output_folder

# The heavy packages are imported inside the functions that use them, so that --help answers at once.
if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import nn

# Files that a training run leaves in its folder.
RUN_FILES: tuple[str, ...] = (
    "config.yaml",
    "log.txt",
    "metrics.json",
    "results.json",
    "explanation.json",
    "index.html",
    "model_*.pth",
    "last_checkpoint",
    "events.out.tfevents.*",
)


@dataclass(frozen=True)
class Trained:
    """A finished run: its model, its results on held-out data, its wall-clock and CPU time in seconds."""

    model: "nn.Module"
    results: dict[str, dict[str, Any]]
    seconds: float
    cpu_seconds: float


def run_demo(
    description: str | None,
    folder: str,
    demo: Callable[[Path, int | None], None],
    argv: Sequence[str] | None,
    num_threads: int | None = None,
) -> int:
    """Parse the command line of a demo, run `demo(output, iterations)` and return the exit status.

    Args:
        description: Text of --help.
        folder: Default output folder.
        demo: Runs the demo; `iterations` is None unless --iterations was given.
        argv: Command line; None for that of the process.
        num_threads: Number of PyTorch's threads during the demo; None leaves it unchanged.
    """
    parser = command_parser(description)
    parser.add_argument("--output", type=Path, default=Path(folder), help="folder to write (default: %(default)s)")
    parser.add_argument(
        "--iterations", type=positive_int, metavar="N", help="iterations of each training run, for a quick try"
    )
    args = parser.parse_args(argv)
    return run_command(lambda: _run_with_threads(demo, args, num_threads))


def _run_with_threads(
    demo: Callable[[Path, int | None], None], args: argparse.Namespace, num_threads: int | None
) -> None:
    check_output_folder(args.output)
    defer_slow_imports()
    import torch

    threads_before = torch.get_num_threads()
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    try:
        demo(args.output, args.iterations)
    finally:
        torch.set_num_threads(threads_before)


def start_demo(output: Path, names: Iterable[str]) -> None:
    """Create the folder `output` and start its log.

    Args:
        output: Folder of the demo.
        names: Files and folders of an earlier run to delete first.
    """
    from eva_engine.output_files import clear_output
    from eva_engine.training.run_log import start_log

    clear_output(output, names)
    start_log(str(output))
    # These warnings address the authors of libraries and would clutter the log.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"detectron2\.|fvcore\.|torch\.")


def demo_recipe(config: str, folder: Path, iterations: int | None) -> "DictConfig":
    """Load the recipe `config` with `folder` as its output folder.

    Args:
        config: Path of the recipe.
        folder: Output folder of the run.
        iterations: Number of iterations, without a warm-up; None for the recipe's own schedule.
    """
    from eva_engine.config import load_config

    cfg = load_config(config)
    cfg.train.output_dir = str(folder)
    if iterations is not None:
        cfg.train.max_iter = iterations
        if "warmup_iters" in cfg.lr_multiplier:
            cfg.lr_multiplier.warmup_iters = 0
    return cfg


def train_demo(cfg: "DictConfig") -> Trained:
    """Train and evaluate `cfg`, as the command `train` does.

    Raises:
        InputError: A signal stopped the run early.
    """
    from eva_engine.config import save_config
    from eva_engine.training import train

    folder = Path(cfg.train.output_dir)
    folder.mkdir(exist_ok=True)
    save_config(cfg, folder / "config.yaml")
    start, cpu_start = time.perf_counter(), time.process_time()
    model = train(cfg)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    results_file = folder / "results.json"  # written by the evaluation at the end of a run
    if not results_file.is_file():
        raise InputError(f"the run in {folder} was stopped before its end; start the demo again.")
    return Trained(model, json.loads(results_file.read_text(encoding="utf-8")), seconds, cpu_seconds)


def shell_command(verb: str, output: Path, iterations: int | None) -> str:
    """Return the command that runs the demo again."""
    command = f"python -m tools {verb} --output {shlex.quote(str(output))}"
    if iterations is not None:
        command += f" --iterations {iterations}"
    return command
