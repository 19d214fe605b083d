r"""Predict the peak memory of a training step per GPU, and advise what to change so that it fits.

    python -m tools plan --config-file projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py \
        --gpu-memory 24GB dataloader.train.total_batch_size=16
    python -m tools plan --config-file ... --table
    python -m tools plan --config-file ... --summary
    python -m tools plan --config-file ... --gpu-memory 24GB --apply mine.yaml
    python -m tools plan --config-file ... --gpu-memory 24GB train.auto_batch=64

Recipes of every task can be planned. No GPU, data or weight file is needed, and the step needs no memory: it runs on
fake tensors. Only the proposal network and the heads of a detector are run once on the CPU, for one image of full size.
If train.device is cuda, fused attention and CUDA's autocast are assumed.

--apply writes the recipe with the changes that make it fit, and with the changes of the command line, as a file for
--config-file of train. train.auto_batch=N plans the largest batch of at most N samples that fits.

Exit status: 0 when the recipe fits as it is (or no --gpu-memory was given), or with the changes that --apply has
written; 1 when it does not, 2 for an unusable option or config.
"""

import argparse
import re
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eva_backbone.errors import InputError
from eva_engine.safe_text import printable

from .cli import add_trust_option, command_parser, parse_with_overrides, positive_int, run_command
from .early_checks import check_config
from .import_time import defer_slow_imports

if TYPE_CHECKING:
    from omegaconf import DictConfig

_UNITS = {"MB": 10**6, "GB": 10**9, "MIB": 2**20, "GIB": 2**30}


def main(argv: list[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    args = _parse(argv)
    warnings.filterwarnings("ignore")
    return run_command(_plan, args)


def _plan(args: argparse.Namespace) -> int:
    check_config(args.config_file, args.opts)
    defer_slow_imports()
    # Imported late, so that --help and the mistakes that were checked are answered at once.
    from eva_engine.config import check_batch_size, check_sections, load_config, save_config
    from eva_engine.memory import DEFAULT_RANKS, MemoryPlanner, advise, overrides_for_side, rank_table
    from eva_engine.memory.auto_batch import BATCH, largest_batch
    from eva_engine.memory.device_memory import reserve as reserve_of
    from eva_engine.memory.format_plan import (
        describe_advice,
        describe_lr,
        describe_plan,
        describe_ranks,
        describe_resolutions,
        describe_summary,
    )
    from eva_engine.memory.summary import summarize

    def load(more: Sequence[str]) -> "DictConfig":
        return load_config(args.config_file, [*args.opts, *more], args.trust_recipe)

    def report(line: str) -> None:
        print(f"... {printable(line)}", file=sys.stderr)

    planner = MemoryPlanner(args.num_gpus, args.objects, report)
    cfg = load([])
    check_sections(cfg, "model", "dataloader", "optimizer")
    reserve = reserve_of(str(cfg.train.device))
    if args.summary:
        summary = summarize(load, report)
        print(f"GB on one GPU, 1 {summary.sample} at a time; inference in float32\n")
        print(describe_summary(summary, reserve))
        return 0
    if args.table or args.ranks:
        print("GB per GPU, one sample at a time on each; state stays from step to step\n")
        print(describe_ranks(list(rank_table(load, planner, args.ranks or DEFAULT_RANKS))))
        return 0
    if cfg.train.auto_batch:
        if args.gpu_memory is None:
            raise InputError("train.auto_batch is planned for --gpu-memory, which is missing; add it, as in 24GB")
        args.opts.append(f"{BATCH}={largest_batch(cfg, planner, args.gpu_memory - reserve)}")
        print(f"train.auto_batch={cfg.train.auto_batch}: {args.opts[-1]}\n")
        cfg = load([])
    check_batch_size(cfg, args.num_gpus)
    plan = planner.plan(cfg)
    print(describe_plan(plan, reserve), end="\n\n")
    if args.resolutions:
        others = [planner.plan(load(overrides_for_side(cfg, side))) for side in args.resolutions]
        memory = args.gpu_memory or sys.maxsize
        print(describe_resolutions(others, reserve, memory), end="\n\n")
    print(describe_lr(cfg, load_config(args.config_file, (), args.trust_recipe)))
    if args.gpu_memory is None:
        return 0
    changes: list[str] = []
    if plan.peak + reserve <= args.gpu_memory:
        print(f"It fits {args.gpu_memory / 1e9:.1f} GB.")
    else:
        print(f"It does not fit {args.gpu_memory / 1e9:.1f} GB.")
        advice = advise(load, planner, args.gpu_memory - reserve)
        print("\n".join(describe_advice(advice, reserve)))
        if not advice.fits or not args.apply:
            return 1
        changes = advice.overrides
    if args.apply:
        save_config(load(changes), args.apply)
        print(f"The recipe that fits: --config-file {printable(shlex.quote(args.apply))}")
    return 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    args = parse_with_overrides(parser, argv, "ranks", "resolutions")
    for name in ("ranks", "resolutions"):
        numbers = getattr(args, name)
        if not all(text.isdecimal() and int(text) > 0 for text in numbers):
            parser.error(f"--{name} takes positive numbers, not {' '.join(numbers)}")
        setattr(args, name, list(map(int, numbers)))
    if args.apply and (not args.apply.endswith(".yaml") or args.gpu_memory is None):
        parser.error("--apply takes the name of a .yaml file to write, and needs --gpu-memory")
    others = (args.gpu_memory, args.resolutions, args.objects, args.table, args.ranks)
    if args.summary and (any(others) or args.num_gpus > 1):
        parser.error("--summary is for one sample on one GPU, and takes no other options than changes to the config")
    return args


def _parser() -> argparse.ArgumentParser:
    parser = command_parser(__doc__)
    parser.add_argument("--config-file", required=True, metavar="PY", help="recipe of the run")
    add_trust_option(parser)
    parser.add_argument("--gpu-memory", type=_memory, metavar="24GB", help="memory of one GPU; GB = 10^9, GiB = 2^30")
    parser.add_argument(
        "--apply", metavar="YAML", help="write the recipe with the changes that make it fit --gpu-memory to this file"
    )
    parser.add_argument(
        "--num-gpus", type=positive_int, default=1, metavar="N", help="total number of GPUs of the run, default: 1"
    )
    parser.add_argument(
        "--resolutions",
        nargs="+",
        metavar="PIXELS",
        help="also print a line for each of these image sizes (side of a square)",
    )
    parser.add_argument(
        "--objects",
        type=positive_int,
        metavar="N",
        help="objects per image in detection (default: 128), classes per image in segmentation (default: 32)",
    )
    parser.add_argument(
        "--summary",
        action="store_true",
        help="one row: training with one sample at a time, all of the model, with LoRA or a frozen backbone; inference",
    )
    parser.add_argument(
        "--table",
        action="store_true",
        help="table of the memory per GPU with 1, 2, 4 ... 64 GPUs: DDP, FSDP2, FSDP2 with offload",
    )
    parser.add_argument("--ranks", nargs="+", metavar="N", help="the same table for these numbers of GPUs")
    parser.add_argument("opts", nargs="*", metavar="key=value", help="changes to the config")
    return parser


def _memory(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MG]i?B)", text, re.IGNORECASE)
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not an amount of memory; write it as 24GB, 24GiB or 800MB")
    return round(float(match[1]) * _UNITS[match[2].upper()])
