"""The table of all commands: `python -m tools`, or `eva-vision` where the package is installed, prints and runs it."""

import os
import select
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TextIO

from .missing_package import how_to_install


@dataclass(frozen=True)
class Verb:
    """A command.

    Attributes:
        summary: what it does, in a line.
        module: whose `main(argv)` gives its exit status; imported when it is run.
        arguments: that stand in front of the user's own.
    """

    summary: str
    module: str
    arguments: tuple[str, ...] = ()


TRAINING = "eva_engine.commands.train"

VERBS = {
    "of every task": {
        "train": Verb("train a recipe, on its data or on your own, or go on with a run (--resume)", TRAINING),
        "evaluate": Verb("measure weights by a recipe's evaluation", TRAINING, ("--eval-only",)),
        "predict": Verb("what your own pictures and videos show", "eva_engine.commands.predict"),
        "plan": Verb("memory that a recipe needs, and what to change to fit", "eva_engine.commands.plan_memory"),
        "inspect": Verb("which model a weight file is, and which recipe", "eva_engine.commands.inspect_weights"),
    },
    "for weight files": {
        "export": Verb("one plain file out of a run's checkpoint", "eva_engine.commands.export_weights"),
        "export-timm": Verb("a classifier for timm, and back", "eva_classification.commands.export_timm"),
        "export-open-clip": Verb("an EVA-CLIP for open_clip, and back", "eva_clip.commands.export_open_clip"),
        "join-clip-towers": Verb("the start of EVA-CLIP's training", "eva_clip.commands.join_towers"),
        "interpolate-patch": Verb("patch 14 to patch 16", "eva_engine.commands.interpolate_patch_14to16"),
    },
    "to try, on real data and without a GPU": {
        "demo-detection": Verb("cells in microscope images", "eva_demos.detection.demo"),
        "demo-classification": Verb("handwritten digits", "eva_demos.classification.demo"),
        "demo-clip": Verb("digits by captions", "eva_demos.clip.demo"),
        "demo-video": Verb("how a clip is played", "eva_demos.video.demo"),
        "demo-segmentation": Verb("nuclei and bacteria, pixel by pixel", "eva_demos.segmentation.demo"),
    },
}


def table(program: str) -> str:
    """All verbs with their summaries, as text; `program` is what the user types in front of them."""
    lines = [f"{program} VERB ...; {program} VERB --help tells the options"]
    for group, verbs in VERBS.items():
        lines += ["", f"{group}:", *(f"  {name:21}{verb.summary}" for name, verb in verbs.items())]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None, program: str = "eva-vision") -> int:
    """Run a verb and return its exit status: without one, the table is printed; 2 for one that is not in it.

    Where nobody reads the output any more, the status is what a shell reports of a command ended by the signal for it.
    """
    try:
        status = _run(sys.argv[1:] if argv is None else argv, program)
        print(end="", flush=True)
    except BrokenPipeError:
        if not _is_unread(sys.stdout):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is printed at the end of Python
        return 128 + signal.SIGPIPE  # there is nobody to tell
    return status


def _is_unread(stream: TextIO) -> bool:
    """Whether `stream` leads to a command that has ended, as `head` does after some lines."""
    poll = select.poll()
    poll.register(stream, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _run(argv: Sequence[str], program: str) -> int:
    name, *rest = argv or ["--help"]
    if name in ("-h", "--help"):
        print(table(program))
        return 0
    verb = {name: verb for verbs in VERBS.values() for name, verb in verbs.items()}.get(name)
    if verb is None:
        print(f"{table(program)}\n\nerror: {name!r} is not a verb; take one of those above.", file=sys.stderr)
        return 2
    sys.argv = [f"{program} {name}", *rest]  # what parsers call themselves in their help
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
