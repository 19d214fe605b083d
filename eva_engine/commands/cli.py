"""What all commands have in common: their parser, their exit status, their output folder."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from eva_backbone.errors import InputError

_DOTTED_KEY = re.compile(r"[+~]*\w+(\.\w+)+=")


def command_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows `description`, the text of the command's module, as it is written."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def parse_with_overrides(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, *options: str, texts: Sequence[str] = ()
) -> argparse.Namespace:
    """Parse a command that takes changes to a config, as `opts`, before, between and behind its options.

    Args:
        options: those of several values. They take everything up to the next option; the changes among it are handed
            on, unless a file has that name.
        texts: options of several texts, in which a "=" may be meant: only changes of a dotted key are handed on.
    """
    args = parser.parse_intermixed_args(argv)
    for option in options:
        given = getattr(args, option) or []
        changes = [text for text in given if "=" in text and not os.path.exists(text)]
        setattr(args, option, [text for text in given if text not in changes])
        args.opts += changes
    for option in texts:
        given = getattr(args, option, None) or []
        changes = [text for text in given if _DOTTED_KEY.match(text)]
        if changes:
            setattr(args, option, [text for text in given if text not in changes])
            args.opts += changes
    return args


def run_command(command: Callable[[], int | None], *, finished: str | Path | None = None) -> int:
    """Exit status of `command`: its own (None is 0), 2 behind a printed `InputError`, 130 when it was interrupted.

    finished: where the results are that an interrupted command leaves; None: it leaves none.
    """
    try:
        return command() or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted" + (f"; what was finished is in {finished}" if finished else ""), file=sys.stderr)
        return 130


def run_exchange(
    description: str | None, exchange: Callable[[Path, Path, str], None], argv: Sequence[str] | None
) -> int:
    """The command of a script that makes one weight file out of another: `exchange(input, output, entry)`."""
    parser = command_parser(description)
    parser.add_argument("input", type=Path, help="weight file, or checkpoint of a run")
    parser.add_argument("output", type=Path, help="file to write, .safetensors")
    parser.add_argument("--entry", default="", help="the weights to take where a checkpoint holds several, such as ema")
    args = parser.parse_args(argv)
    return run_command(lambda: exchange(args.input, args.output, args.entry))


def positive(text: str) -> int:
    """Type of an option for `argparse`: 1, 2, ..."""
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def share(text: str) -> float:
    """Type of an option for `argparse`: 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


positive.__name__, share.__name__ = "positive number", "number from 0 to 1"  # argparse names them in its errors
