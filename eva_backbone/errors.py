"""The one exception for mistakes that a user can mend, and the commonest of them."""

from collections.abc import Sequence


class InputError(ValueError):
    """A file, option or value the user gave is unusable; the message is one sentence with the mend in it."""


def check_choice(option: str, value: object, choices: Sequence[str]) -> None:
    """Raises `InputError` unless `value`, given for `option`, is one of the words `choices`."""
    if value not in choices:
        raise InputError(f"{option}={value!r} is not known; choose one of {', '.join(choices)}")
