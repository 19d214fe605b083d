"""The exception for errors that the user can fix, and checks that raise it."""

from collections.abc import Sequence


class InputError(ValueError):
    """A file, option or value from the user is invalid; the message is one sentence that also says how to fix it."""


def install_extra(extra: str) -> str:
    """Return the command that installs the packages of an extra, for messages."""
    return f"pip install '.[{extra}]' in the folder of EVA Vision"


def check_choice(option: str, value: object, choices: Sequence[str]) -> None:
    """Raise `InputError` unless `value`, the value of `option`, is one of `choices`."""
    if value not in choices:
        raise InputError(f"{option}={value!r} is not known; choose one of {', '.join(choices)}")


def check_num_classes(num_classes: int, minimum: int = 1) -> None:
    """Raise `InputError` unless `num_classes` is a whole number of at least `minimum`."""
    if not isinstance(num_classes, int) or num_classes < minimum:
        raise InputError(f"num_classes={num_classes} is not a number of classes; give a whole number from {minimum}")
