"""Command-line helpers: parser, config overrides, exit status, types of options."""

import argparse
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from eva_backbone.errors import InputError
from eva_engine.disk_space import OutputError
from eva_engine.safe_text import printable

_DOTTED_KEY = re.compile(r"[+~]*\w+(\.\w+)+=")


def command_parser(description: str | None) -> argparse.ArgumentParser:
    """Create a parser that prints `description`, the docstring of the command's module, without re-wrapping it."""
    return _Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


class _Parser(argparse.ArgumentParser):
    """Print the names in errors, which may come from a wildcard of the shell, as safe text."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def add_trust_option(parser: argparse.ArgumentParser) -> None:
    """Add the option `--trust-recipe`."""
    parser.add_argument(
        "--trust-recipe",
        action="append",
        default=[],
        metavar="PY",
        help="your own recipe, whose classes and functions a config.yaml may then name, or exported program (.pt2); it "
        "is executed; repeatable",
    )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a trained model and its recipe: `--config-file`, `--trust-recipe`, `--weights`."""
    parser.add_argument(
        "--config-file",
        default="",
        metavar="PY",
        help="recipe of the model, or a run's config.yaml; by default found from the weights",
    )
    add_trust_option(parser)
    parser.add_argument(
        "--weights",
        required=True,
        metavar="FILE",
        help="weight file of the model, name of a published one, or output folder of a run",
    )


def add_dtype_option(parser: argparse.ArgumentParser, prefix: str = "") -> None:
    """Add the option `--dtype`, which is None unless given; see `eva_engine.inference_precision`."""
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16", "float16", "auto"),
        help=f"{prefix}type of the weights; bfloat16 and float16 take half the memory, auto is the fastest one on this "
        "processor or GPU; default: float32",
    )


def parse_with_overrides(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, *options: str, texts: Sequence[str] = ()
) -> argparse.Namespace:
    """Parse a command that accepts changes to a config, as `opts`, before, between and after its options.

    Args:
        parser: Parser with a positional argument `opts`.
        argv: Arguments; by default those of the process.
        options: Names of options that take several values. They consume everything up to the next option; values that
            look like changes to the config are moved to `opts`, unless they are addresses or a file has that name.
        texts: Names of options that take several texts, which may contain "=": only values with a dotted key are moved.
    """
    args = parser.parse_intermixed_args(argv)
    for option in options:
        # An address may contain "=", but not before its "://".
        _move_overrides(args, option, lambda text: "=" in text.partition("://")[0] and not os.path.exists(text))
    for option in texts:
        _move_overrides(args, option, lambda text: _DOTTED_KEY.match(text) is not None)
    return args


def _move_overrides(args: argparse.Namespace, option: str, is_override: Callable[[str], bool]) -> None:
    if option not in args:  # suppressed, because it was not given
        return
    values: list[str] = []
    overrides: list[str] = []
    for text in getattr(args, option) or []:
        (overrides if is_override(text) else values).append(text)
    setattr(args, option, values)
    args.opts += overrides


def override_text(key: str, value: str) -> str:
    """Return the change `key=value` of a config, in which `value` is a string, quoted if necessary."""
    if re.fullmatch(r"[\w./-]+", value):
        return f"{key}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key}="{escaped}"'


def run_command(command: Callable[..., int | None], *args: Any, finished: str | Path | None = None) -> int:
    """Run `command(*args)` and return its exit status.

    The status is the value that `command` returns (0 for None), that of `report_error` after an `InputError`, and 130
    if the command was interrupted.

    Args:
        command: Function that does the work.
        args: Its arguments.
        finished: Folder with the finished results of an interrupted command; None if there are none.
    """
    try:
        return command(*args) or 0
    except InputError as error:
        return report_error(error)
    except KeyboardInterrupt:
        message = f"interrupted; finished results are in {printable(finished)}" if finished else "interrupted"
        print(message, file=sys.stderr)
        return 130


def report_error(error: InputError) -> int:
    """Print an error and return the exit status: 1 if results cannot be written, else 2."""
    print(f"error: {printable(error)}", file=sys.stderr)
    return 1 if isinstance(error, OutputError) else 2


def run_exchange(
    description: str | None, exchange: Callable[[Path, Path, str], None], argv: Sequence[str] | None
) -> int:
    """Run a command that converts one weight file to another: `exchange(input, output, entry)`."""
    parser = command_parser(description)
    parser.add_argument("input", type=Path, help="weight file, or checkpoint of a run")
    parser.add_argument("output", type=Path, help="file to write, .safetensors")
    parser.add_argument("--entry", default="", help="entry to read if a checkpoint contains several, such as ema")
    args = parser.parse_args(argv)
    return run_command(_run_exchange, exchange, args)


def _run_exchange(exchange: Callable[[Path, Path, str], None], args: argparse.Namespace) -> None:
    # Imported late, because the registry of tasks, which it needs, imports this module.
    from eva_engine.published_weights.weight_path import check_weights

    check_weights(args.input)  # before PyTorch is imported
    exchange(args.input, args.output, args.entry)


def positive_int(text: str) -> int:
    """Parse an option of `argparse`: 1, 2, ..."""
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def fraction(text: str) -> float:
    """Parse an option of `argparse`: a number from 0 to 1."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def positive_floats(text: str) -> tuple[float, ...]:
    """Parse an option of `argparse`: numbers above 0, separated by commas."""
    values = tuple(float(part) for part in text.split(","))
    if not all(0 < value < math.inf for value in values):
        raise ValueError
    return values


# argparse names the type in its errors.
positive_int.__name__, fraction.__name__ = "positive number", "number from 0 to 1"
positive_floats.__name__ = "list of positive numbers"
