"""The options that tasks add to the commands that use a trained model."""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.tasks import Option, Task, all_tasks

# Returns the options of a task that a command accepts.
Choose = Callable[[Task], Sequence[Option]]


def options_of_all_tasks(choose: Choose) -> list[Option]:
    """Return the options of all tasks, each once."""
    options: dict[str, Option] = {}
    for task in all_tasks():
        for option in choose(task):
            options.setdefault(option.flag, option)
    return list(options.values())


def add_task_options(parser: argparse.ArgumentParser, choose: Choose) -> None:
    """Add the options of all tasks, in a group for each set of tasks that accept them."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in options_of_all_tasks(choose):
        title = ", ".join(task.name for task in all_tasks() if option in choose(task))
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        # Without a default it is known whether the option was given; the default is that of the task.
        groups[title].add_argument(option.flag, default=argparse.SUPPRESS, help=option.help, **option.keywords)


def check_task_options(task: Task, args: argparse.Namespace, choose: Choose) -> None:
    """Raise InputError if an option of another task was given."""
    accepted = choose(task)
    wrong = [option.flag for option in options_of_all_tasks(choose) if option.name in args and option not in accepted]
    if wrong:
        flags = ", ".join(option.flag for option in accepted)
        raise InputError(
            f"{', '.join(wrong)} is not an option for the recipe's task, {task.name}; this task accepts {flags}."
        )


def given_options(options: Sequence[Option], args: argparse.Namespace) -> dict[str, Any]:
    """Return those of `options` that the user has given, as keywords."""
    return {option.name: getattr(args, option.name) for option in options if option.name in args}
