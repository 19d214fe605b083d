r"""Check the data of any task before it is trained on, and write a page with images of each finding.

    python -m tools check-data --train-json train.json --train-images photos --val-json val.json --val-images photos
    python -m tools check-data --config-file projects/Classification/configs/in1k_336.py \
        dataloader.train.dataset.root=photos dataloader.test.dataset.root=photos
    python -m tools check-data --config-file output/mine/config.yaml --quick

The data is given as for train: by a recipe or the config.yaml of a run with changes to it, or by the options of a task.
The findings are printed, and written to index.html and findings.json in the folder of --output, and nowhere else.

Exit status: 0 when there is no error among the findings, 1 when there is one or the results cannot be written, 2 for an
unusable option, config or annotation file, 130 when interrupted.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.output_files import check_output_folder
from eva_engine.safe_text import printable
from eva_engine.tasks import Task, all_tasks

from .cli import add_trust_option, command_parser, override_text, parse_with_overrides, run_command
from .early_checks import check_config
from .import_time import defer_slow_imports
from .train import add_data_options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    return run_command(_check_data, parse_arguments(argv))


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options, and `opts`, the changes to the config."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "--config-file",
        default="",
        metavar="FILE",
        help="recipe, or the config.yaml of a run; default: a recipe of the task, with the data of its options",
    )
    parser.add_argument("--task", metavar="NAME", help="task of the options, if several tasks have them")
    add_trust_option(parser)
    parser.add_argument("--quick", action="store_true", help="read no images or videos, only what lists them")
    parser.add_argument("--eval-only", action="store_true", help="check only the data for the evaluation")
    parser.add_argument(
        "--output", type=Path, default=Path("data_check"), metavar="DIR", help="folder of the page, default: data_check"
    )
    add_data_options(parser)
    parser.add_argument("opts", nargs="*", metavar="key=value", help="changes to the config")
    return parse_with_overrides(parser, argv)


def _check_data(args: argparse.Namespace) -> int:
    args.config_file = args.config_file or _recipe_of_options(args)
    check_config(args.config_file, args.opts)
    check_output_folder(args.output)
    # What a task converts is written to the output folder of the run.
    args.opts.append(override_text("train.output_dir", str(args.output)))
    defer_slow_imports()
    # Imported late, so that --help and the mistakes that were checked are answered at once.
    from eva_engine.data_check.command_run import check_data
    from eva_engine.data_check.output import describe, write_result

    result = check_data(args)
    print(describe(result))
    page = write_result(result, args.output, f"Data check: {result.task}", f"recipe: {args.config_file}")
    print(f"page: {printable(page)}", file=sys.stderr)
    return result.exit_status


def _recipe_of_options(args: argparse.Namespace) -> str:
    """Return the recipe of the task whose options give data.

    Raises:
        InputError: No option gives data, or several tasks have these options.
    """
    tasks = [task for task in all_tasks() if task.data_check]
    names = ", ".join(task.name for task in tasks)
    if args.task is not None and args.task not in [task.name for task in tasks]:
        raise InputError(f"--task {args.task} does not exist; choose one of {names}")
    given = set()
    for task in tasks:
        for option in task.train_options:
            if getattr(args, option.name) not in (None, False, option.keywords.get("default")):
                given.add(option.name)
    if not given:
        raise InputError("no data was given; add --config-file RECIPE, or the options of the data as for train")
    fitting = [task for task in tasks if given <= _option_names(task) and args.task in (None, task.name)]
    if len(fitting) != 1:
        found = "several tasks have" if fitting else "no task has all of"
        raise InputError(f"{found} the options of the data; add --config-file RECIPE, or --task with one of {names}")
    return fitting[0].load("data_check").recipe


def _option_names(task: Task) -> set[str]:
    return {option.name for option in task.train_options}
