"""Ask about class names that are probably two spellings of one class."""

from collections.abc import Mapping
from itertools import combinations

from eva_backbone.errors import InputError

# A typing error is rare. Real classes such as "car" and "cat" may also differ by one letter.
_RARE = 0.05
_MIN_LETTERS = 4  # shorter names, such as "a" and "b" or "c1" and "c2", often differ by one letter
_MAX_CLASSES = 2000  # each pair of names is compared


def check_class_names(
    counts: Mapping[str, int], renamed: Mapping[str, str], is_list_given: bool, source: str
) -> list[str]:
    """Check the names of the classes of a dataset.

    Args:
        counts: Number of objects by class name.
        renamed: The answers of the user; a pair with a name that was renamed to itself is not asked about.
        is_list_given: Whether the data lists its classes, so that all names are intended; then nothing is an error.
        source: The data, for the message.

    Returns:
        Questions about names that differ by case or one letter, if they are not errors.

    Raises:
        InputError: Two names differ only by case, or by one letter where one class is rare, and the names are those
            that someone typed for each object.
    """
    questions = []
    if len(counts) > _MAX_CLASSES:
        return []
    kept = {name for name, new in renamed.items() if name == new}
    for pair in combinations(counts, 2):
        rarer, other = sorted(pair, key=lambda name: (counts[name], name))
        if kept & {rarer, other}:
            continue
        if _normalized(rarer) == _normalized(other):
            difference = "differ only by case or spaces"
        elif counts[rarer] <= _RARE * counts[other] and _one_letter_apart(_normalized(rarer), _normalized(other)):
            difference = "differ by one letter"
        else:
            continue
        questions.append(
            f"the classes {rarer!r} ({counts[rarer]} objects) and {other!r} ({counts[other]} objects) {difference}: "
            f'are they the same? Merge them with --rename-class "{rarer}={other}", or keep both with '
            f'--rename-class "{rarer}={rarer}"'
        )
    if questions and not is_list_given:
        raise InputError(f"{source}: {'; '.join(questions[:10])}.")
    return questions


def parse_renamed(texts: list[str] | None) -> dict[str, str]:
    """Return {old name: new name} of the values OLD=NEW of `--rename-class`.

    Raises:
        InputError: A value has another form, or gives a name twice.
    """
    renamed: dict[str, str] = {}
    for text in texts or ():
        old, separator, new = (part.strip() for part in text.partition("="))
        if not (old and separator and new):
            raise InputError(f"--rename-class {text!r} is not a pair of names; give it as OLD=NEW.")
        if renamed.setdefault(old, new) != new:
            raise InputError(f"--rename-class renames {old!r} twice; give one new name.")
    return renamed


def _normalized(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _one_letter_apart(first: str, second: str) -> bool:
    """Return whether one letter, not a digit, is added, left out or replaced, or two neighbours are exchanged."""
    short, long = sorted((first, second), key=len)
    if len(short) < _MIN_LETTERS or len(long) - len(short) > 1:
        return False
    start = 0
    while start < len(short) and short[start] == long[start]:
        start += 1
    rest_short, rest_long = short[start:], long[start:]
    if not rest_long or rest_long[0].isdigit() or rest_short[:1].isdigit():
        return False
    if len(short) < len(long):
        return rest_short == rest_long[1:]
    is_exchanged = rest_short[:2] == rest_long[1::-1] and rest_short[2:] == rest_long[2:]
    return rest_short[1:] == rest_long[1:] or is_exchanged
