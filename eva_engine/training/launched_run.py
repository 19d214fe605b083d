"""Run the commands `train` and `evaluate`: from the parsed options to the work of every process."""

import argparse
import atexit
import copy
import logging
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from eva_backbone.errors import InputError
from eva_engine.checkpoint.run_folder import RunFolder
from eva_engine.commands.cli import override_text
from eva_engine.config import check_sections, find_task_of_config, load_config, save_config
from eva_engine.config.class_list import save_categories, settle_class_list
from eva_engine.config.override_grammar import override_value, parse_override
from eva_engine.data import worker_failure
from eva_engine.data.run_cache import caching_in
from eva_engine.data_check.command_run import log_quick_findings
from eva_engine.disk_space import OutputError
from eva_engine.exported_models import check_exported, is_exported, open_exported
from eva_engine.inference_precision import FLOAT32, choose_precision, log_what_bfloat16_saves
from eva_engine.output_files import writing_failure
from eva_engine.published_weights.weight_path import weight_path
from eva_engine.safe_text import printable
from eva_engine.tasks import all_tasks

from .device import processes_per_machine, resolve_device
from .distributed import launch, restarted_by_torchrun, starts_processes
from .run_log import start_log

logger = logging.getLogger(__name__)


def launch_run(args: argparse.Namespace) -> None:
    """Train or evaluate with the options of the command `train`, in one process or several.

    Raises:
        InputError: A mistake of the user, found by any of the processes.
    """
    # Here, so that an error in it is reported once, not by each process; and so is a download made.
    if args.eval_only and not args.config_file:
        _choose_recipe(args)
    if args.resume:
        _stay_in_run_folder(args)
    cfg = load_config(args.config_file, args.opts, args.trust_recipe)
    check_exported(cfg.train.init_checkpoint, args.trust_recipe)
    if cfg.train.init_checkpoint and not args.resume:
        weight_path(cfg.train.init_checkpoint)
    device = str(cfg.train.device)
    num_processes = processes_per_machine(args.num_gpus, device)
    # A recipe is code that may register datasets, which fails the second time. This process has executed it, so it
    # passes the config on if it does the work itself; processes that it starts load the recipe themselves.
    runs_here = not starts_processes(num_processes * args.num_machines)
    try:
        launch(
            run_in_process,
            (args, cfg if runs_here else None),
            processes_per_machine=num_processes,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            device=device,
        )
    except ProcessRaisedException as error:
        raise _error_of_process(error, args.dist_url) from error
    except ProcessExitedException as error:
        if error.signal_name is None:
            raise
        print(f"stopped: a process of the run was ended by {error.signal_name}", file=sys.stderr)
        raise SystemExit(128 - error.exit_code) from error  # the status of a process ended by the signal


def _choose_recipe(args: argparse.Namespace) -> None:
    """Set `args.config_file` to the recipe of the weights that are evaluated, and print it.

    Results of a run with its own config, or of an exported model, are written to another folder than those of its
    training, unless the user gives one: the run may have been moved, and its results stay as they are.
    """
    weights = override_value(args.opts, "train.init_checkpoint")
    if not weights:
        raise InputError("neither weights nor a config file were given; add --weights FILE, or --config-file RECIPE")
    from eva_engine.inspection.recipe_choice import choose_recipe  # slow to import, and rarely needed

    recipe = choose_recipe(str(weights), args.trust_recipe)
    args.config_file = str(recipe.file)
    print(f"recipe: {printable(recipe.path)}", file=sys.stderr)
    if recipe.file.suffix != ".py" and override_value(args.opts, "train.output_dir") is None:
        args.opts.append(override_text("train.output_dir", f"{os.path.abspath(recipe.file.parent)}_evaluation"))


def _stay_in_run_folder(args: argparse.Namespace) -> None:
    """Continue the run whose config is given in its folder, which may be a copy of the one in which it began."""
    file = Path(args.config_file)
    is_of_run = file.name == "config.yaml" and RunFolder(file.parent).checkpoints()
    if is_of_run and override_value(args.opts, "train.output_dir") is None:
        args.opts.append(override_text("train.output_dir", os.path.abspath(file.parent)))


def _error_of_process(error: ProcessRaisedException, dist_url: str) -> Exception:
    """Return the `InputError` that a started process raised, or `error` itself if it raised anything else."""
    # Only the text of the traceback crosses the process boundary.
    for kind in (OutputError, InputError):
        messages = re.findall(rf"{kind.__module__}\.{kind.__qualname__}: (.+)", str(error))
        if messages:
            return kind(messages[-1])
    if "EADDRINUSE" in str(error):
        return InputError(f"another run already uses --dist-url {dist_url}; give this one another port")
    return error


def run_in_process(args: argparse.Namespace, cfg: DictConfig | None) -> None:
    """Train, evaluate or try a run, in this process.

    Args:
        args: Options of the command `train`.
        cfg: The loaded config; None loads it here.
    """
    if cfg is None:
        cfg = load_config(args.config_file, args.opts, args.trust_recipe)
    custom_data = find_custom_data(args, cfg)
    if args.eval_only and not cfg.train.init_checkpoint:
        raise InputError("--eval-only was given without weights; add train.init_checkpoint=FILE")
    resume = args.resume or restarted_by_torchrun()
    output_dir = cfg.train.output_dir
    keeps_nothing = args.dry_run or args.lr_range_test
    if not args.eval_only and not resume and not args.lr_range_test:
        RunFolder(Path(output_dir)).check_new()  # before anything of an earlier run is overwritten
    check_sections(cfg, "model", "dataloader")
    if not args.eval_only:
        check_sections(cfg, "optimizer", "lr_multiplier")
    if keeps_nothing:
        cfg.train.output_dir = _temporary_folder()
    _start_log(cfg, args)
    with caching_in(cfg.train.output_dir):
        _run_with_data(args, cfg, custom_data, resume, output_dir)


def _run_with_data(args: argparse.Namespace, cfg: DictConfig, custom_data: Any, resume: bool, output_dir: str) -> None:
    """Do the work of `run_in_process` after its log was started.

    Args:
        args: Options of the command `train`.
        cfg: The config.
        custom_data: The user's data; None for that of the config.
        resume: Whether an earlier run is continued.
        output_dir: Folder of the run; that in `cfg` is a temporary one if the run keeps nothing.
    """
    if custom_data is not None:
        custom_data.apply(cfg, training=not args.eval_only)
    if not args.eval_only:
        _fit_to_data(args, cfg)
    _apply_evaluation_options(args, cfg)
    settle_class_list(cfg, training=not args.eval_only, resume=resume)
    if not args.eval_only and not resume and comm.is_main_process():
        log_quick_findings(cfg)
    recipe = copy.deepcopy(cfg)  # to be saved without the limits of this machine, which are applied next
    resolve_device(cfg)
    if cfg.train.auto_batch and not args.eval_only:
        from eva_engine.memory.auto_batch import BATCH, settle_batch  # slow to import, and rarely needed

        settle_batch(cfg, resume)
        OmegaConf.update(recipe, BATCH, OmegaConf.select(cfg, BATCH))
    if cfg.train.check_memory and not args.eval_only and not resume:  # a run that is resumed has fitted before
        from eva_engine.memory.memory_check import check_memory  # slow to import

        check_memory(cfg)
    # Imported late: FSDP takes seconds to import, and most mistakes of users are found by now.
    from .dry_run import dry_run
    from .evaluation import evaluate
    from .lr_range_test import lr_range_test
    from .run import prepare_run

    with _errors_logged(Path(cfg.train.output_dir)):
        if args.dry_run:
            dry_run(cfg, output_dir)
        elif args.lr_range_test:
            lr_range_test(cfg, args.lr_range_test, output_dir)
        elif args.eval_only:
            if not RunFolder(Path(output_dir)).checkpoints():  # do not replace the recipe of a training run
                _save_recipe(recipe)
            evaluate(cfg, _model_to_evaluate(cfg, args.dtype or "float32"))
            _write_page(cfg, args, trained=False)
        else:
            run = prepare_run(cfg, resume)
            _save_recipe(recipe)  # only now: a resume that fails leaves the recipe of the run unchanged
            run.train()
            _write_page(cfg, args, trained=True, start_iter=run.start_iter)


def _write_page(cfg: DictConfig, args: argparse.Namespace, *, trained: bool, start_iter: int = 0) -> None:
    """Write the page of a training, which was resumed if `start_iter` is not 0, or of an evaluation; on rank 0 only."""
    if comm.is_main_process():
        from eva_engine.report import write_run_report  # slow to import, and only needed now

        facts = {"Resumed": f"after {start_iter} iterations"} if start_iter else {}
        page = write_run_report(cfg, config_file=args.config_file, trained=trained, facts=facts)
        if page is not None:
            logger.info("The page %s shows the run and explains its evaluation.", page)


def _model_to_evaluate(cfg: DictConfig, dtype: str) -> nn.Module:
    from .build import build_model  # slow to import

    weights = cfg.train.init_checkpoint
    if is_exported(weights):
        return open_exported(weights, cfg, dtype, str(cfg.train.device))
    device = torch.device(cfg.train.device)
    precision = choose_precision(dtype, device)
    logger.info("Evaluating with %s", precision)
    model = build_model(cfg, weights, averaged=cfg.train.ema.evaluate, complete=True, precision=precision)
    if precision == FLOAT32:
        log_what_bfloat16_saves(model, device)
    return model


def _save_recipe(recipe: DictConfig) -> None:
    """Save the recipe, and the class list if there is one, in `train.output_dir`; on rank 0 only."""
    if comm.is_main_process():
        # Absolute and without links, like the paths of files that the run has written into it; see `moved_run.py`.
        folder = str(Path(recipe.train.output_dir).resolve())
        if "${" not in folder:  # which would be an interpolation
            recipe.train.output_dir = folder
        save_config(recipe, Path(recipe.train.output_dir, "config.yaml"))
        save_categories(recipe, recipe.train.output_dir)


def find_custom_data(args: argparse.Namespace, cfg: DictConfig) -> Any:
    """Return the custom data of the command line or of the config as the task's `custom_data` class, None if none."""
    task = find_task_of_config(cfg)  # a model of no task can be trained too, but not on custom data
    own_options = set() if task is None else {option.name for option in task.train_options}
    for other in all_tasks():
        given = []
        for option in other.train_options:
            if option.name not in own_options and getattr(args, option.name, None) is not None:
                given.append(option.flag)
        if given:
            name = "no task" if task is None else task.name
            raise InputError(
                f"{', '.join(given)} is for {other.name}, but the config is for {name}; name the data by config keys, "
                f"or give a config for {other.name}"
            )
    custom_data_class = None if task is None else task.load("custom_data")
    return None if custom_data_class is None else custom_data_class.find(args, cfg)


def _fit_to_data(args: argparse.Namespace, cfg: DictConfig) -> None:
    """Let the task change `cfg` as its training data requires, except for what the user has set."""
    task = find_task_of_config(cfg)
    fit = None if task is None else task.load("fit_to_data")
    if fit is not None:
        fit(cfg, [parse_override(text)[0] for text in args.opts])


def _apply_evaluation_options(args: argparse.Namespace, cfg: DictConfig) -> None:
    """Change `cfg` as the options say that concern evaluations."""
    task = find_task_of_config(cfg)
    accepted = () if task is None else task.evaluation_options
    given = {option.name: getattr(args, option.name) for option in accepted if option.name in args}
    for other in all_tasks():
        for option in other.evaluation_options:
            if option.name in args and option.name not in given:
                name = "no task" if task is None else task.name
                raise InputError(f"{option.flag} is for {other.name}, but the config is for {name}; omit it")
    if given and task is not None:
        task.load("evaluate_with")(cfg, **given)


@contextmanager
def _errors_logged(output_dir: Path) -> Iterator[None]:
    """Write an error that ends the command to the log file as well; the command or Python prints it."""
    try:
        yield
    except InputError as error:
        logger.debug("Stopped: %s", error)
        raise
    except Exception as error:
        failure = worker_failure(error) or writing_failure(error, output_dir)
        if failure is None:
            logger.debug("Stopped by an error", exc_info=True)
            raise
        logger.debug("Stopped: %s", failure)
        raise failure from error


def _start_log(cfg: DictConfig, args: argparse.Namespace) -> None:
    from detectron2.utils.collect_env import collect_env_info  # slow to import

    output_dir, rank = Path(cfg.train.output_dir), comm.get_rank()
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        start_log(str(output_dir), rank)
    except OSError as error:
        raise InputError(
            f"train.output_dir={output_dir} cannot be written ({error.strerror}); give another folder"
        ) from error
    logger.debug("Process %d of %d; arguments: %s", rank, comm.get_world_size(), vars(args))
    logger.debug("Environment:\n%s", collect_env_info())


def _temporary_folder() -> str:
    """Create a folder that all processes of this machine use, and that is deleted when local rank 0 exits."""
    folder = None
    if comm.get_local_rank() == 0:
        folder = tempfile.mkdtemp(prefix="dry_run_")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    local_rank_0 = comm.get_rank() - comm.get_local_rank()
    return comm.all_gather(folder)[local_rank_0]
