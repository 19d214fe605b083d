r"""Train a recipe of any task on its data or on custom data, or evaluate weights on its test data.

    python -m tools train --config-file projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py \
        --train-json train.json --train-images photos --val-json val.json --val-images photos \
        train.init_checkpoint=eva_o365.pth train.output_dir=output/mine train.max_iter=2000
    python -m tools train --resume --config-file output/mine/config.yaml
    python -m tools train --lr-range-test 100 --config-file projects/Classification/configs/in1k_336.py
    python -m tools evaluate --config-file projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py \
        train.init_checkpoint=eva_coco_det.pth train.output_dir=output/evaluation
    python -m tools evaluate --weights output/mine

evaluate needs no --config-file for the output folder of a run, for the name of published weights, and for a weight file
whose recipe inspect can find.

Exit status: 0 when the run is done or was stopped by a signal after which it saved its work, 1 when results cannot be
written, 2 for an unusable option, config, weight file or record, 130 when interrupted.
"""

import argparse
import os
from collections.abc import Sequence

from eva_engine.tasks import Option, all_tasks

from .cli import (
    add_dtype_option,
    add_trust_option,
    command_parser,
    override_text,
    parse_with_overrides,
    positive_int,
    run_command,
)
from .early_checks import check_run
from .import_time import defer_slow_imports


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    return run_command(_train, parse_arguments(argv))


def _train(args: argparse.Namespace) -> None:
    check_run(args)
    defer_slow_imports()
    # Imported late, so that --help and the mistakes that were checked are answered at once.
    from eva_engine.training.launched_run import launch_run

    launch_run(args)


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options, under the names that Detectron2 gave them, and `opts`, the changes to the config."""
    parser = command_parser(__doc__)
    parser.add_argument("--config-file", default="", metavar="FILE", help="recipe, or the config.yaml of a run")
    add_trust_option(parser)
    parser.add_argument(
        "--weights",
        default="",
        metavar="FILE",
        help="weights to start from or to evaluate: a file, a published name, or the output folder of a run; same as "
        "train.init_checkpoint=FILE",
    )
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint in train.output_dir")
    parser.add_argument(
        "--eval-only",
        action="store_true",
        help="evaluate train.init_checkpoint; same as evaluate",
    )
    add_dtype_option(parser, "evaluate only: ")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="build everything, try two batches and one test image, print the plan, keep nothing",
    )
    parser.add_argument(
        "--lr-range-test",
        type=positive_int,
        metavar="ITERATIONS",
        help="train so many iterations with growing learning rates, suggest one, write lr_range_test.svg to "
        "train.output_dir, keep nothing else; 100 is a good number",
    )
    parser.add_argument("opts", nargs="*", metavar="key=value", help="changes to the config")
    evaluation = parser.add_argument_group("evaluation", "how the images of an evaluation are predicted")
    flags: set[str] = set()
    for task in all_tasks():
        for option in task.evaluation_options:
            if option.flag not in flags:
                # Without a default it is known whether the option was given; the default is that of the task.
                evaluation.add_argument(option.flag, default=argparse.SUPPRESS, help=option.help, **option.keywords)
            flags.add(option.flag)
    add_data_options(parser)
    distributed = parser.add_argument_group("several processes, unless torchrun starts them")
    distributed.add_argument("--num-gpus", type=int, default=1, metavar="N", help="GPUs per machine, default: 1")
    distributed.add_argument("--num-machines", type=int, default=1, metavar="N", help="machines of the run, default: 1")
    distributed.add_argument("--machine-rank", type=int, default=0, metavar="N", help="rank of this machine, from 0")
    distributed.add_argument(
        "--dist-url",
        default=f"tcp://127.0.0.1:{_default_port()}",
        metavar="URL",
        help="tcp://HOST:PORT of machine 0; auto finds a free port on a single machine; default: %(default)s",
    )
    args = parse_with_overrides(parser, argv)
    if args.weights:
        args.opts.append(override_text("train.init_checkpoint", args.weights))
    return args


def _default_port() -> int:
    """Return Detectron2's default port for processes on one machine, which differs among users; Windows has no ids."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    return 49152 + user % 16384


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for custom data: those that several tasks have, and those of each task."""
    options: dict[str, Option] = {}
    names: dict[str, list[str]] = {}
    for task in all_tasks():
        for option in task.train_options:
            options[option.flag] = option
            names.setdefault(option.flag, []).append(task.name)
    shared = parser.add_argument_group("custom data", "the classes and their number are those of the data")
    for flag, option in options.items():
        if len(names[flag]) > 1:
            shared.add_argument(flag, help=f"{option.help} ({', '.join(names[flag])})", **option.keywords)
    for task in all_tasks():
        own = [option for option in task.train_options if len(names[option.flag]) == 1]
        if own:
            group = parser.add_argument_group(f"custom data for {task.name}", task.train_options_help)
            for option in own:
                group.add_argument(option.flag, help=option.help, **option.keywords)
