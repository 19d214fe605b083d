"""Read the labels of zero-shot classification."""

from collections import Counter
from collections.abc import Sequence

from eva_backbone.errors import InputError

from ..evaluation import read_class_names


def read_labels(given: Sequence[str]) -> tuple[str, ...]:
    """Check labels and collapse their white space.

    Args:
        given: Two or more labels, or the path of a text file (.txt) with one per line.

    Raises:
        InputError: There are fewer than two labels, one of them is empty, or one is given twice (the model does not
            distinguish upper and lower case); or the file is unreadable.
    """
    for number, label in enumerate(given, start=1):
        if not label.strip():
            raise InputError(f"label {number} of {len(given)} is empty; give every label a text.")
    is_file = len(given) == 1 and given[0].endswith(".txt")
    names = read_class_names(given[0] if is_file else given)
    labels = tuple(" ".join(name.split()) for name in names)
    if len(labels) < 2:
        raise InputError(f"{labels[0]!r} is the only label, which would fit every image; give two or more.")
    counts = Counter(label.lower() for label in labels)
    repeated = [label for label in labels if counts[label.lower()] > 1]
    if repeated:
        repeated_names = ", ".join(repr(label) for label in dict.fromkeys(repeated))
        raise InputError(
            f"labels given more than once: {repeated_names}; give each one once, or its probability is divided."
        )
    return labels
