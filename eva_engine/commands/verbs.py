"""The table of all commands: `python -m tools`, or `eva-vision` where the package is installed, prints and runs it."""

import os
import select
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from types import FrameType
from typing import NoReturn, TextIO

from eva_backbone.errors import InputError
from eva_engine.foreign_warnings import silence_foreign_warnings
from eva_engine.tasks import DATA, DEMOS, EVERY_TASK, WEIGHT_FILES, Verb, all_verbs

from .cli import report_error
from .missing_package import how_to_install
from .thread_waiting import let_idle_threads_sleep

_SIGPIPE = 13  # Windows has no signal.SIGPIPE
_TRAIN = "eva_engine.commands.train"
_ENGINE_VERBS = {
    "check-data": Verb(
        "check the data of a recipe, or custom data, before training", "eva_engine.commands.check_data", EVERY_TASK
    ),
    "train": Verb("train a recipe on its data or on custom data, or resume a run (--resume)", _TRAIN, EVERY_TASK),
    "evaluate": Verb("evaluate weights on the test data of a recipe", _TRAIN, EVERY_TASK, ("--eval-only",)),
    "predict": Verb("run a model on your images and videos", "eva_engine.commands.predict", EVERY_TASK),
    "plan": Verb(
        "predict the memory that a recipe needs, and how to reduce it", "eva_engine.commands.plan_memory", EVERY_TASK
    ),
    "inspect": Verb(
        "identify the model and the recipe of a weight file", "eva_engine.commands.inspect_weights", EVERY_TASK
    ),
    "weights": Verb(
        "list, download and verify the published weight files", "eva_engine.commands.weights", WEIGHT_FILES
    ),
    "export": Verb("write the weights of a run's checkpoint", "eva_engine.commands.export_weights", WEIGHT_FILES),
    "interpolate-patch": Verb(
        "convert weights from patch 14 to patch 16", "eva_engine.commands.interpolate_patch_14to16", WEIGHT_FILES
    ),
}


def find_verbs() -> dict[str, Verb]:
    """Return all commands by name: those of the engine, then those that installed packages register."""
    return {**_ENGINE_VERBS, **all_verbs()}


def table(program: str) -> str:
    """Return all verbs with their summaries as text; `program` is the command that the user types before the verb."""
    lines = [f"{program} VERB ...; {program} VERB --help shows the options"]
    verbs = find_verbs()
    width = max(map(len, verbs)) + 2
    for group in (EVERY_TASK, DATA, WEIGHT_FILES, DEMOS):
        lines += ["", f"{group}:"]
        lines += [f"  {name:{width}}{verb.summary}" for name, verb in verbs.items() if verb.group == group]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None, program: str = "eva-vision") -> int:
    """Run a verb and return its exit status; without a verb print the table.

    The status is 2 for an unknown verb. After Ctrl-C, after SIGTERM, and if the reader of the output has gone, as after
    `| head`, it is the one that a shell reports for a command ended by the signal: 130, 143, 141.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    # As an exception, the signal lets everything that is open be completed or removed.
    before = signal.signal(signal.SIGTERM, _terminate) if in_main_thread else None
    try:
        status = _run_verb(sys.argv[1:] if argv is None else argv, program)
        print(end="", flush=True)
    except InputError as error:  # a package that registers a broken task; verbs report their own errors
        return report_error(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        if not _is_reader_gone(sys.stdout):
            raise
        # Python flushes the output once more when it exits, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + _SIGPIPE
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)
    return status


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _is_reader_gone(stream: TextIO) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return True
    poll = select.poll()
    poll.register(stream, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _run_verb(argv: Sequence[str], program: str) -> int:
    name, *rest = argv or ["--help"]
    if name in ("-h", "--help"):
        print(table(program))
        return 0
    verb = find_verbs().get(name)
    if verb is None:
        print(table(program), file=sys.stderr, end="\n\n")
        return report_error(InputError(f"{name!r} is not a verb; choose one of those above."))
    sys.argv = [f"{program} {name}", *rest]  # parsers print this name in their help
    silence_foreign_warnings()
    let_idle_threads_sleep()
    try:
        return import_module(verb.module).main([*verb.arguments, *rest])
    except ModuleNotFoundError as error:
        advice = how_to_install(error)
        if advice is None:
            raise
        print(f"error: {name} needs {advice}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
