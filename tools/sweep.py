#!/usr/bin/env python3
r"""Search for good values of overrides: each trial is a run of the command train, and optuna chooses the values.

    python tools/sweep.py --config-file projects/SemSeg/configs/ade20k_ss.py --metric sem_seg/mIoU --trials 20 \
        --output output/sweep 'optimizer.lr=tag(log, interval(1e-6, 1e-3))' 'train.lora.rank=choice(8, 16, 32)' \
        train.max_iter=500

An override with choice(...), range(...) or interval(...), in Hydra's grammar, is searched; the others apply to all
trials. Further arguments of train follow --, such as -- --train-json train.json. The same command continues an
interrupted sweep, and several of them may share the trials of one folder.

Exit status: 0 when the trials are done, 2 for an unusable option or if the first trial fails, 130 when interrupted.
"""

import shlex
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep
from hydra.errors import HydraException
from optuna.storages.journal import JournalFileBackend, JournalStorage

from eva_backbone.errors import InputError
from eva_engine.commands.cli import command_parser, override_text, positive_int, run_command
from eva_engine.training.monitoring import BestMetric, read_evaluations

# Draws the value of an override in a trial.
Draw = Callable[[optuna.Trial], Any]


class TrialFailed(Exception):
    """A run of a trial ended with an error."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    parser = command_parser(__doc__)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="recipe of all trials")
    parser.add_argument("--metric", required=True, metavar="NAME", help="such as sem_seg/mIoU or validation/total_loss")
    parser.add_argument("--trials", type=positive_int, default=20, metavar="N", help="number of trials, default: 20")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a folder for each trial, sweep.log")
    parser.add_argument("opts", nargs="*", metavar="key=value", help="changes to the config, and key=choice(a,b)")
    argv = list(sys.argv[1:] if argv is None else argv)
    split = argv.index("--") if "--" in argv else len(argv)
    args = parser.parse_intermixed_args(argv[:split])
    return run_command(_sweep, args, argv[split + 1 :], finished=args.output)


def _sweep(args: Namespace, train_arguments: list[str]) -> None:
    searched: dict[str, Draw] = {}
    fixed = []
    for text in args.opts:
        draw = _parse(text)
        if draw is None:
            fixed.append(text)
        else:
            searched[text.partition("=")[0]] = draw
    if not searched:
        raise InputError("nothing is searched; add a change such as 'optimizer.lr=tag(log, interval(1e-6, 1e-3))'")
    args.output.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(args.output / "sweep.log"))),
        study_name=args.metric,
        direction="minimize" if BestMetric(args.metric).lower_is_better else "maximize",
        sampler=optuna.samplers.TPESampler(seed=0),
        load_if_exists=True,
    )
    command = [sys.executable, "-m", "tools", "train", "--config-file", args.config_file, *train_arguments, *fixed]
    num_done = sum(trial.state.is_finished() for trial in study.trials)
    objective = partial(_run_trial, command=command, searched=searched, args=args)
    study.optimize(objective, n_trials=max(args.trials - num_done, 0), catch=TrialFailed)
    best = study.best_trial
    values = " ".join(shlex.quote(f"{key}={value}") for key, value in best.params.items())
    print(f"best of {len(study.trials)} trials: {args.metric} {best.value:.6g}, {_folder(args, best.number)}\n{values}")


def _run_trial(trial: optuna.Trial, command: list[str], searched: dict[str, Draw], args: Namespace) -> float:
    """Train with the values of a trial, and return the best value of the metric.

    Raises:
        TrialFailed: The run failed, for example because the loss diverged.
        InputError: It failed, and no trial has succeeded yet: the command is probably wrong.
    """
    folder = _folder(args, trial.number)
    overrides = [f"{key}={draw(trial)}" for key, draw in searched.items()]
    print(f"trial {trial.number}: {' '.join(overrides)}", flush=True)
    status = _train([*command, *overrides, override_text("train.output_dir", str(folder))])
    best = BestMetric(args.metric)
    for results in read_evaluations(folder / "metrics.json", sys.maxsize):
        best.update(results, int(results["iteration"]))
    if status == 0 and best.value is not None:
        return best.value
    if not any(earlier.state.name == "COMPLETE" for earlier in trial.study.trials):
        raise InputError(f"the first trial ended with status {status}; see above or {folder}/log.txt")
    raise TrialFailed


def _train(command: list[str]) -> int:
    return subprocess.run(command, check=False).returncode


def _parse(text: str) -> Draw | None:
    """Return how an override is drawn in a trial; None if it has a single value."""
    try:
        override = OverridesParser.create().parse_overrides([text])[0]
    except HydraException as error:
        raise InputError(f"the override {text} cannot be parsed; write key=value or key=choice(a,b)") from error
    if not override.is_sweep_override():
        return None
    key, sweep = override.key_or_group, override.value()
    if isinstance(sweep, IntervalSweep):
        limits: tuple[Any, Any] = sweep.start, sweep.end  # whole numbers in int(interval(1, 5)), otherwise float
        is_log = "log" in sweep.tags
        if isinstance(limits[0], int):
            return lambda trial: trial.suggest_int(key, *limits, log=is_log)
        return lambda trial: trial.suggest_float(key, *limits, log=is_log)
    choices = list(override.sweep_string_iterator())
    return lambda trial: trial.suggest_categorical(key, choices)


def _folder(args: Namespace, number: int) -> Path:
    return args.output / f"trial_{number:03d}"


if __name__ == "__main__":
    sys.exit(main())
