"""The exception for errors that the user can fix, and a check that raises it."""

from collections.abc import Sequence


class InputError(ValueError):
    """A file, option or value from the user is invalid; the message is one sentence that also says how to fix it."""


def check_choice(option: str, value: object, choices: Sequence[str]) -> None:
    """Raise `InputError` unless `value`, the value of `option`, is one of `choices`."""
    if value not in choices:
        raise InputError(f"{option}={value!r} is not known; choose one of {', '.join(choices)}")
