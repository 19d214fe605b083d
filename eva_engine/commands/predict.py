"""Run a model of any task on images and videos.

What is written depends on the task of the recipe's model. Exit status: 0 when every input was processed, 1 when some
failed or their results could not be written (each is named; the others are written), 2 for an unusable option, config
or weight file, 130 when interrupted.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.safe_text import PrintableFormatter, printable
from eva_engine.tasks import Option, Task, all_tasks

from .cli import add_trust_option, command_parser, parse_with_overrides, positive_int, run_command

_MAX_LISTED_FAILURES = 20
_LOAD_REPORT = "eva_engine.checkpoint.loading"  # logger of the lists of used weights


def main(argv: list[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    texts = [option.name for option in _all_options() if option.is_text]
    args = parse_with_overrides(_parser(), argv, "input", texts=texts)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(PrintableFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[terminal])
    logging.getLogger(_LOAD_REPORT).setLevel(logging.INFO if args.verbose else logging.WARNING)
    return run_command(_predict, args, finished=args.output)


def _predict(args: argparse.Namespace) -> int:
    # Imported late, so that --help and a wrong option are answered at once.
    from eva_engine.prediction import list_inputs, predict_files
    from eva_engine.prediction.load_predictor import build_predictor, load_recipe

    recipe = load_recipe(args.weights, args.config_file, args.opts, args.trust_recipe)
    if not args.config_file:
        print(f"recipe: {printable(recipe.path)}", file=sys.stderr)
    task = recipe.task
    file_task_class = task.load("file_task")
    predictor_options = _given_options(task, task.predict_options, args)
    output_options = _given_options(task, task.output_options, args)
    found = list_inputs(args.input, args.output, args.recursive, file_task_class.kinds)
    for problem in found.unusable:
        print(f"failed: {printable(problem)}", file=sys.stderr)
    if not found.inputs:
        kinds = " or ".join(file_task_class.kinds)
        raise InputError(f"no {kinds} in {', '.join(args.input)}: name files or folders that have some.")
    predictor = build_predictor(recipe, args.weights, args.device, predictor_options)
    file_task = file_task_class(predictor, **output_options)
    done = predict_files(file_task, found.inputs, args.output, batch_size=args.batch_size)
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


def _given_options(task: Task, options: tuple[Option, ...], args: argparse.Namespace) -> dict[str, Any]:
    """Return those of `options` that the user has given, as keywords."""
    accepted = (*task.predict_options, *task.output_options)
    wrong = [option.flag for option in _all_options() if option.name in args and option not in accepted]
    if wrong:
        flags = ", ".join(option.flag for option in accepted)
        raise InputError(
            f"{', '.join(wrong)} is not an option for the recipe's task, {task.name}; this task accepts {flags}."
        )
    missing = [option.flag for option in options if option.is_required and option.name not in args]
    if missing:
        raise InputError(f"the recipe's task, {task.name}, requires {', '.join(missing)}; see --help.")
    return {option.name: getattr(args, option.name) for option in options if option.name in args}


def _all_options() -> list[Option]:
    """Return the options of all tasks, each once."""
    options: dict[str, Option] = {}
    for task in all_tasks():
        for option in (*task.predict_options, *task.output_options):
            options.setdefault(option.flag, option)
    return list(options.values())


def _parser() -> argparse.ArgumentParser:
    usages = [task.predict_usage for task in all_tasks() if task.predict_usage]
    parser = command_parser("\n".join([__doc__ or "", *usages]))
    parser.add_argument(
        "--config-file",
        default="",
        metavar="PY",
        help="recipe of the model, or a run's config.yaml; by default the one that the weights show",
    )
    add_trust_option(parser)
    parser.add_argument(
        "--weights",
        required=True,
        metavar="FILE",
        help="weight file of the model, name of a published one, or output folder of a run",
    )
    parser.add_argument("--input", required=True, nargs="+", metavar="PATH", help="images, videos, folders of them")
    parser.add_argument("--output", default="output/predictions", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--recursive", action="store_true", help="search the sub-folders of folders too")
    parser.add_argument("--device", default="auto", help="auto (CUDA if available, else CPU), cpu, cuda, cuda:1, ...")
    parser.add_argument(
        "--batch-size",
        type=positive_int,
        metavar="N",
        help="images per forward pass; default: that of the task, 1 or 16",
    )
    parser.add_argument("--verbose", action="store_true", help="list which entries of the weight file are used")
    parser.add_argument(
        "opts", nargs="*", metavar="key=value", help="changes to the config, before or after the options"
    )
    groups = {}
    for option in _all_options():
        users = [task.name for task in all_tasks() if option in (*task.predict_options, *task.output_options)]
        title = ", ".join(users)
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        # Without a default it is known whether the option was given; the default is that of the task.
        groups[title].add_argument(option.flag, default=argparse.SUPPRESS, help=option.help, **option.keywords)
    return parser
