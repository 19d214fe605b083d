"""Labels as they are typed, checked."""

from collections import Counter
from collections.abc import Sequence

from eva_backbone.errors import InputError

from ..evaluation.prompts import read_class_names


def read_labels(given: Sequence[str]) -> tuple[str, ...]:
    """The labels, with white space collapsed.

    Args:
        given: two labels or more, or one text file (.txt) with one a line.

    Raises:
        InputError: fewer than two labels, an empty one, or the same one twice (upper and lower case are one to the
            model); a file that cannot be read.
    """
    source = given[0] if len(given) == 1 and given[0].endswith(".txt") else given
    if any(not label.strip() for label in given):
        number = next(number for number, label in enumerate(given, start=1) if not label.strip())
        raise InputError(f"label {number} of {len(given)} is empty; give every label a text.")
    labels = tuple(" ".join(label.split()) for label in read_class_names(source))
    if len(labels) < 2:
        raise InputError(f"{labels[0]!r} is the only label, which would fit every picture; give two or more.")
    counts = Counter(label.lower() for label in labels)
    twice = [label for label in labels if counts[label.lower()] > 1]
    if twice:
        names = ", ".join(repr(label) for label in dict.fromkeys(twice))
        raise InputError(f"labels given more than once: {names}; give each one once, or its probability is divided.")
    return labels
