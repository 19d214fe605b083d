"""The one exception for mistakes that a user can mend."""


class InputError(ValueError):
    """A file, option or value the user gave is unusable; the message is one sentence with the mend in it."""
