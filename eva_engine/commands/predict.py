"""Run a model of any task on images and videos.

What is written depends on the task of the recipe's model. Exit status: 0 when every input was processed, 1 when some
failed or their results could not be written (each is named; the others are written), 2 for an unusable option, config
or weight file, 130 when interrupted.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from eva_backbone.errors import InputError
from eva_engine.safe_text import PrintableFormatter, printable
from eva_engine.tasks import BATCH_SIZE, Option, Task, all_tasks

from .cli import (
    add_dtype_option,
    add_model_options,
    command_parser,
    parse_with_overrides,
    run_command,
)
from .early_checks import check_prediction, find_inputs
from .import_time import defer_slow_imports
from .task_options import add_task_options, check_task_options, given_options, options_of_all_tasks

if TYPE_CHECKING:
    from eva_engine.prediction.predictor import ImagePredictor

_MAX_LISTED_FAILURES = 20
_LOAD_REPORT = "eva_engine.checkpoint.loading"  # logger of the lists of used weights


def main(argv: list[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    texts = [option.name for option in options_of_all_tasks(_options) if option.is_text]
    args = parse_with_overrides(_parser(), argv, "input", texts=texts)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(PrintableFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[terminal])
    logging.getLogger(_LOAD_REPORT).setLevel(logging.INFO if args.verbose else logging.WARNING)
    return run_command(_predict, args, finished=args.output)


def _predict(args: argparse.Namespace) -> int:
    check_prediction(args)
    defer_slow_imports()
    # Imported late, so that --help and the mistakes that were checked are answered at once.
    from eva_engine.data.deep_image import check_value_range
    from eva_engine.prediction import predict_files
    from eva_engine.prediction.load_predictor import build_predictor, load_recipe
    from eva_engine.prediction.shared_run import shared_by_torchrun
    from eva_engine.processes import get_rank, on_all_ranks

    recipe = load_recipe(args.weights, args.config_file, args.opts, args.trust_recipe)
    if not args.config_file:
        print(f"recipe: {printable(recipe.path)}", file=sys.stderr)
    task = recipe.task
    file_task_class = task.load("file_task")
    predictor_options = _given_options(task, task.predict_options, args)
    if args.dtype is not None:
        predictor_options["dtype"] = args.dtype
    output_options = _given_options(task, task.output_options, args)
    shown = " ".join(f"{level:g}" for level in args.value_range or ())
    value_range = check_value_range(args.value_range, file_task_class.kinds, "--value-range", f"--value-range {shown}")
    with shared_by_torchrun(args.device):
        found = on_all_ranks(lambda: find_inputs(args, file_task_class.kinds))
        predictor = build_predictor(recipe, args.weights, args.device, predictor_options, args.compile)
        if value_range is not None:
            cast("ImagePredictor[Any]", predictor).value_range = value_range
        predictor.batch_size = args.batch_size or predictor.batch_size
        file_task = file_task_class(predictor, **output_options)
        done = predict_files(file_task, found.inputs, args.output)
        if get_rank() > 0:
            return 0
    failures = [*found.unusable, *done.failures]
    counts = ", ".join(f"{name}: {count}" for name, count in done.counts.items())
    print(
        f"{counts}, failed: {len(failures)}, other files skipped: {found.num_skipped}; "
        f"results in {printable(args.output)}"
    )
    for note in file_task.notes():
        print(printable(note))
    _print_failures(failures)
    return 1 if failures else 0


def _print_failures(failures: Sequence[str]) -> None:
    """Name the failed inputs once more, since their messages may be many lines above."""
    if failures:
        print("inputs that failed:", file=sys.stderr)
    for failure in failures[:_MAX_LISTED_FAILURES]:
        print(f"  {printable(failure)}", file=sys.stderr)
    if len(failures) > _MAX_LISTED_FAILURES:
        print(f"  and {len(failures) - _MAX_LISTED_FAILURES} more, see the messages above", file=sys.stderr)


def _given_options(task: Task, options: Sequence[Option], args: argparse.Namespace) -> dict[str, Any]:
    """Return those of `options` that the user has given, as keywords."""
    check_task_options(task, args, _options)
    missing = [option.flag for option in options if option.is_required and option.name not in args]
    if missing:
        raise InputError(f"the recipe's task, {task.name}, requires {', '.join(missing)}; see --help.")
    return given_options(options, args)


def _options(task: Task) -> Sequence[Option]:
    return (*task.predict_options, *task.output_options)


def _parser() -> argparse.ArgumentParser:
    usages = [task.predict_usage for task in all_tasks() if task.predict_usage]
    parser = command_parser("\n".join([__doc__ or "", *usages]))
    add_model_options(parser)
    parser.add_argument(
        "--input",
        required=True,
        nargs="+",
        metavar="PATH",
        help="images, videos, folders of them; addresses of files and streams (http, https, rtsp); 0 for a camera",
    )
    parser.add_argument("--output", default="output/predictions", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--recursive", action="store_true", help="also search the subfolders of folders")
    parser.add_argument(
        "--device", default="auto", help="auto (CUDA or mps if available, else cpu), cpu, cuda, cuda:1, mps, ..."
    )
    add_dtype_option(parser)
    parser.add_argument(BATCH_SIZE.flag, help=BATCH_SIZE.help, **BATCH_SIZE.keywords)
    parser.add_argument(
        "--value-range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="values of black and of white in images with more than 8 bits per channel, which are refused without it",
    )
    parser.add_argument(
        "--compile", action="store_true", help="compile the transformer blocks, which pays off only for many images"
    )
    parser.add_argument("--verbose", action="store_true", help="list which entries of the weight file are used")
    parser.add_argument(
        "opts", nargs="*", metavar="key=value", help="changes to the config, before or after the options"
    )
    add_task_options(parser, _options)
    return parser
