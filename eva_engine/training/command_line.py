"""What the verbs `train` and `evaluate` do, behind their options."""

import argparse
import atexit
import copy
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info
from omegaconf import DictConfig
from torch.multiprocessing import ProcessRaisedException

from eva_backbone.errors import InputError
from eva_engine.checkpoint.run_folder import RunFolder
from eva_engine.config import check_datasets, load_config, save_config
from eva_engine.data import worker_failure

from .build import build_model
from .device import processes_per_machine, settle_device
from .distributed import launch, restarted_by_torchrun, starts_processes
from .dry_run import dry_run
from .evaluate import evaluate
from .run_log import start_log
from .training import check_new_run, train

logger = logging.getLogger(__name__)


def run(args: argparse.Namespace) -> None:
    """What `args`, of the verb `train`, asks for, in all its processes.

    Raises:
        InputError: an error that the user can mend, in whichever process.
    """
    cfg = load_config(args.config_file, args.opts)  # errors in it are told once, not by every process
    device = str(cfg.train.device)
    processes = processes_per_machine(args.num_gpus, device)
    try:
        launch(
            _run,
            # A recipe is code, which may register data sets: no process executes it twice.
            (args, None if starts_processes(processes * args.num_machines) else cfg),
            processes_per_machine=processes,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            device=device,
        )
    except ProcessRaisedException as error:
        # The text of a traceback is all that crosses from a process.
        passed_on = re.findall(rf"{InputError.__module__}\.{InputError.__qualname__}: (.+)", str(error))
        if not passed_on and "EADDRINUSE" in str(error):
            passed_on = [f"another run meets at --dist-url {args.dist_url}; give this one another port"]
        if not passed_on:
            raise
        raise InputError(passed_on[-1]) from error


def _run(args: argparse.Namespace, cfg: DictConfig | None) -> None:
    if cfg is None:
        cfg = load_config(args.config_file, args.opts)
    from detectron2_ext.custom_data import CustomData, save_categories, use_custom_data

    custom_data = CustomData.find(args, cfg)
    if args.eval_only and not cfg.train.init_checkpoint:
        raise InputError("--eval-only was given without weights; add train.init_checkpoint=FILE")
    if args.eval_only and args.dry_run:
        raise InputError("--dry-run tries a training run; leave out --eval-only")
    resume = args.resume or restarted_by_torchrun()
    output_dir = cfg.train.output_dir
    if not args.eval_only and not resume:
        check_new_run(output_dir)  # before anything of an earlier run is written over
    if args.dry_run:
        cfg.train.output_dir = _throwaway_folder()
    _start(cfg, args)
    if custom_data is not None:
        use_custom_data(cfg, custom_data, training=not args.eval_only)
    given = copy.deepcopy(cfg)  # what this machine lacks is no part of the recipe
    settle_device(cfg)

    def save_recipe() -> None:
        if comm.is_main_process():
            save_config(given, Path(output_dir, "config.yaml"))
            if custom_data is not None:
                save_categories(given)

    with _failures_in_the_log():
        if args.dry_run:
            dry_run(cfg, output_dir)
        elif args.eval_only:
            check_datasets(cfg, training=False)
            if not RunFolder(Path(output_dir)).checkpoints():  # of a run, whose recipe stays
                save_recipe()
            weights, averaged = cfg.train.init_checkpoint, cfg.train.ema.evaluate
            evaluate(cfg, build_model(cfg, weights, averaged=averaged, complete=True))
        else:
            train(cfg, resume, started=save_recipe)
            if comm.is_main_process():
                from eva_engine.report import write_run_report  # slow to import, and needed last

                write_run_report(cfg, config_file=args.config_file)


@contextmanager
def _failures_in_the_log() -> Iterator[None]:
    """What ends the command also goes to the log file; the terminal gets it from `main` or from Python."""
    try:
        yield
    except Exception as error:
        mendable = error if isinstance(error, InputError) else worker_failure(error)
        if mendable is None:
            logger.debug("Stopped by an error", exc_info=True)
            raise
        logger.debug("Stopped: %s", mendable)
        if mendable is error:
            raise
        raise mendable from error


def _start(cfg: DictConfig, args: argparse.Namespace) -> None:
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


def _throwaway_folder() -> str:
    """A folder, the same on all processes of this machine, that is deleted when the first one ends."""
    folder = tempfile.mkdtemp(prefix="dry_run_") if comm.get_local_rank() == 0 else None
    if folder is not None:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return comm.all_gather(folder)[comm.get_rank() - comm.get_local_rank()]
