"""The training and evaluation command."""

import argparse
import atexit
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from detectron2.engine import default_argument_parser
from detectron2.utils import comm
from detectron2.utils.collect_env import collect_env_info
from omegaconf import DictConfig
from torch.multiprocessing import ProcessRaisedException

from detectron2_ext.checkpoint.run_folder import RunFolder
from detectron2_ext.data import worker_failure
from detectron2_ext.report import write_run_report
from eva_backbone.errors import InputError

from .build import build_model
from .device import processes_per_machine, settle_device
from .distributed import launch, restarted_by_torchrun, starts_processes
from .dry_run import dry_run
from .evaluation import evaluate
from .recipe import OwnData, check_datasets, load_config, save_categories, save_config, use_own_data
from .run_log import start_log
from .training import check_new_run, train

logger = logging.getLogger(__name__)

_EPILOG = """
Evaluate:
    python -m tools evaluate \\
        --config-file projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py \\
        train.init_checkpoint=eva_coco_det.pth

Train on your own COCO-format data:
    python -m tools train \\
        --config-file projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_b_100ep.py \\
        --train-json train.json --train-images photos --val-json val.json --val-images photos \\
        train.init_checkpoint=weights.pth train.max_iter=2000 dataloader.train.total_batch_size=4
"""


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Detectron2's options (--config-file, --eval-only, ..., key=value overrides) and those for own data."""
    parser = default_argument_parser(epilog=_EPILOG)
    own = parser.add_argument_group("own data in COCO format", "class count and names come from the annotations")
    own.add_argument("--train-json", metavar="FILE", help="annotations to train on")
    own.add_argument("--train-images", metavar="DIR", help="folder that their file names are relative to")
    own.add_argument("--val-json", metavar="FILE", help="annotations to evaluate on")
    own.add_argument("--val-images", metavar="DIR", help="folder that their file names are relative to")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="build everything, try two batches and one test image, print the plan, keep nothing of the run",
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 after one printed sentence about an error the user can mend."""
    args = parse_arguments(argv)
    try:
        cfg = load_config(args.config_file, args.opts)  # errors in it are told once, not by every process
        device = str(cfg.train.device)
        processes = processes_per_machine(args.num_gpus, device)
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
    except (InputError, ProcessRaisedException) as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        return 2
    return 0


def _sentence(error: Exception) -> str | None:
    """Message of an `InputError`, also of one that crossed a process in the text of a traceback."""
    passed_on = re.findall(rf"{InputError.__module__}\.{InputError.__qualname__}: (.+)", str(error))
    if passed_on:
        return passed_on[-1]
    return str(error) if isinstance(error, InputError) else None


def _run(args: argparse.Namespace, cfg: DictConfig | None) -> None:
    if cfg is None:
        cfg = load_config(args.config_file, args.opts)
    own_data = OwnData.find(args, cfg)
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
    if own_data is not None:
        use_own_data(cfg, own_data, training=not args.eval_only)
    of_another_run = args.eval_only and RunFolder(Path(output_dir)).checkpoints()  # whose recipe stays
    if comm.is_main_process() and not of_another_run:
        save_config(cfg, Path(cfg.train.output_dir, "config.yaml"))
        if own_data is not None:
            save_categories(cfg)
    settle_device(cfg)  # after saving: what this machine lacks is no part of the recipe
    with _failures_in_the_log():
        if args.dry_run:
            dry_run(cfg, output_dir)
        elif args.eval_only:
            check_datasets(cfg, training=False)
            evaluate(cfg, build_model(cfg, cfg.train.init_checkpoint, averaged=cfg.train.ema.evaluate))
        else:
            train(cfg, resume)
            if comm.is_main_process():
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
    output_dir.mkdir(parents=True, exist_ok=True)
    start_log(str(output_dir), rank)
    logger.debug("Process %d of %d; arguments: %s", rank, comm.get_world_size(), vars(args))
    logger.debug("Environment:\n%s", collect_env_info())


def _throwaway_folder() -> str:
    """A folder, the same on all processes of this machine, that is deleted when the first one ends."""
    folder = tempfile.mkdtemp(prefix="dry_run_") if comm.get_local_rank() == 0 else None
    if folder is not None:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return comm.all_gather(folder)[comm.get_rank() - comm.get_local_rank()]
