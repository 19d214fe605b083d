"""What the demos of all tasks have in common: their command, their folder, their training run."""

import json
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.commands.cli import command_parser, positive, run_command
from eva_engine.config import load_config, save_config
from eva_engine.output_files import clear_output
from eva_engine.training import train
from eva_engine.training.run_log import start_log

# What a training run leaves in its folder.
RUN_FILES: tuple[str, ...] = (
    *("config.yaml", "log.txt", "metrics.json", "results.json", "index.html"),
    *("model_*.pth", "last_checkpoint", "events.out.tfevents.*"),
)


@dataclass(frozen=True)
class Trained:
    """A finished run: its model, its results on held-out data, its time and processor time in seconds."""

    model: nn.Module
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
    """The command of a demo: `demo(output, iterations)`, whose results go to `folder` unless another one is given.

    num_threads: of PyTorch while it runs; None leaves them.
    """
    parser = command_parser(description)
    parser.add_argument("--output", type=Path, default=Path(folder), help="folder to write (default: %(default)s)")
    parser.add_argument("--iterations", type=positive, metavar="N", help="of each training, to try things quickly")
    args = parser.parse_args(argv)
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads or before)
    try:
        return run_command(lambda: demo(args.output, args.iterations))
    finally:
        torch.set_num_threads(before)


def start_demo(output: Path, names: Iterable[str]) -> None:
    """Make the folder `output` and its log; `names`: what an earlier run left there and this one replaces."""
    clear_output(output, names)
    start_log(str(output))
    # Notes of PyTorch to the authors of libraries would bury the log.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"detectron2\.|fvcore\.|torch\.")


def demo_recipe(config: str, folder: Path, iterations: int | None) -> DictConfig:
    """The recipe `config`, to be run in `folder`; `iterations`: in place of its own number, without a warm-up."""
    cfg = load_config(config)
    cfg.train.output_dir = str(folder)
    if iterations:
        cfg.train.max_iter = iterations
        if "warmup_iters" in cfg.lr_multiplier:
            cfg.lr_multiplier.warmup_iters = 0
    return cfg


def train_demo(cfg: DictConfig) -> Trained:
    """Train `cfg` and measure it, as the command for training does.

    Raises:
        InputError: a signal stopped the run before its end.
    """
    folder = Path(cfg.train.output_dir)
    folder.mkdir(exist_ok=True)
    save_config(cfg, folder / "config.yaml")
    start, cpu_start = time.perf_counter(), time.process_time()
    model = train(cfg)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    results = folder / "results.json"  # of the evaluation that a run ends with
    if not results.is_file():
        raise InputError(f"the run in {folder} was stopped before its end; start the demo again.")
    return Trained(model, json.loads(results.read_text(encoding="utf-8")), seconds, cpu_seconds)


def shell_command(verb: str, output: Path, iterations: int | None) -> str:
    """What runs the demo once more."""
    return f"python -m tools {verb} --output {output}" + (f" --iterations {iterations}" if iterations else "")
