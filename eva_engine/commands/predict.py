"""Run a model of any task on images and videos.

What is written depends on the task of the recipe's model. Exit status: 0 when every input was processed, 1 when some
failed or their results could not be written (each is named; the others are written), 2 for an unusable option, config
or weight file, 130 when interrupted.
"""

import argparse
import logging
import sys
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.safe_text import PrintableFormatter, printable
from eva_engine.tasks import Option, Task, all_tasks

from .cli import add_trust_option, command_parser, parse_with_overrides, positive_int, run_command


def main(argv: list[str] | None = None) -> int:
    """Run the command; see the module's docstring for the exit status."""
    texts = [option.name for option in _all_options() if option.is_text]
    args = parse_with_overrides(_parser(), argv, "input", texts=texts)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(PrintableFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[terminal])
    return run_command(_predict, args, finished=args.output)


def _predict(args: argparse.Namespace) -> int:
    # Imported late, so that --help and a wrong option are answered at once.
    from eva_engine.config import load_config, task_of_config
    from eva_engine.inspection.recipe_choice import choose_recipe
    from eva_engine.prediction import list_inputs, predict_files
    from eva_engine.published_weights.weight_path import weight_path

    config_file = args.config_file
    if not config_file:
        recipe = choose_recipe(args.weights, args.trust_recipe)
        config_file = str(recipe.file)
        print(f"recipe: {printable(recipe.path)}", file=sys.stderr)
    cfg = load_config(config_file, args.opts, args.trust_recipe)
    task = task_of_config(cfg)
    file_task_class = task.load("file_task")
    predictor_options = _given_options(task, task.predict_options, args)
    output_options = _given_options(task, task.output_options, args)
    found = list_inputs(args.input, args.output, args.recursive, file_task_class.kinds)
    for problem in found.unusable:
        print(f"failed: {printable(problem)}", file=sys.stderr)
    if not found.inputs:
        kinds = " or ".join(file_task_class.kinds)
        raise InputError(f"no {kinds} in {', '.join(args.input)}: name files or folders that have some.")
    predictor = task.load("predictor").from_config(cfg, weight_path(args.weights), args.device, **predictor_options)
    predictor.batch_size = args.batch_size or predictor.batch_size
    file_task = file_task_class(predictor, **output_options)
    done = predict_files(file_task, found.inputs, args.output)
    num_failed = len(done.failures) + len(found.unusable)
    counts = ", ".join(f"{name}: {count}" for name, count in done.counts.items())
    print(
        f"{counts}, failed: {num_failed}, other files skipped: {found.num_skipped}; results in {printable(args.output)}"
    )
    for note in file_task.notes():
        print(printable(note))
    return 1 if num_failed else 0


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
    given = {option.name: getattr(args, option.name) for option in options if option.name in args}
    if "class_names" in given:
        from eva_engine.prediction import read_categories

        given["class_names"] = read_categories(given["class_names"])
    return given


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
