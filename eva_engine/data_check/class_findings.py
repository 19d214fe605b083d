"""What can be wrong with the classes of any task: missing, rare, unequal, or named alike."""

from collections.abc import Iterator, Mapping

from eva_engine.text_layout import join_first

from .findings import Example, Finding, Severity

_FEW = 10
_IMBALANCE = 100
_MAX_NAMES = 10


def check_classes(counts: Mapping[str, Mapping[str, int]], counted: str) -> Iterator[Finding]:
    """Yield the findings about classes.

    Args:
        counts: {part of the data: {class name: number of its images or objects}}.
        counted: Plural noun for what is counted.
    """
    training = counts.get("training", {})
    validation = counts.get("validation", {})
    missing = [name for name, count in training.items() if not count]
    if missing:
        what = f"{len(missing)} of {len(training)} classes have no {counted}: {_names(missing)}"
        fix = "remove them from the list of classes, or annotate some"
        yield Finding("empty-classes", Severity.WARNING, what, len(missing), fix, source="training")
    not_validated = [name for name, count in training.items() if count and not validation.get(name, 0)]
    if validation and not_validated:
        what = f"{len(not_validated)} classes with training {counted} have none in validation: {_names(not_validated)}"
        fix = "move some there, otherwise the metrics do not count these classes"
        yield Finding("not-validated", Severity.WARNING, what, len(not_validated), fix, source="validation")
    not_trained = [name for name, count in validation.items() if count and training and not training.get(name, 0)]
    if not_trained:
        what = f"{len(not_trained)} classes of the validation data have no training {counted}: {_names(not_trained)}"
        fix = "add training data, or remove the classes"
        yield Finding("not-trained", Severity.ERROR, what, len(not_trained), fix, source="validation")
    few = [name for name, count in training.items() if 0 < count < _FEW]
    if few:
        what = f"{len(few)} classes have fewer than {_FEW} training {counted}: {_names(few)}"
        yield Finding("rare-classes", Severity.NOTE, what, len(few), "annotate more of them", source="training")
    present = {name: count for name, count in training.items() if count}
    if present and max(present.values()) > _IMBALANCE * min(present.values()):
        most, least = max(present, key=present.__getitem__), min(present, key=present.__getitem__)
        ratio = present[most] / present[least]
        what = f"the class {most!r} has {ratio:,.0f} times as many {counted} as {least!r}"
        fix = "annotate more of the rare classes, or draw them more often"
        yield Finding("imbalance", Severity.NOTE, what, 1, fix, source="training")
    alike = _alike([*training, *(name for name in validation if name not in training)])
    if alike:
        examples = tuple(Example(first, f"and {second}") for first, second in alike)
        first, second = alike[0]
        what = f"{len(alike)} pairs of class names differ only in case or punctuation, such as {first!r} and {second!r}"
        fix = "merge them if they mean the same class"
        yield Finding("similar-names", Severity.WARNING, what, len(alike), fix, examples)


def _alike(names: list[str]) -> list[tuple[str, str]]:
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        key = "".join(letter for letter in name.casefold() if letter.isalnum()) or name
        if first.setdefault(key, name) != name:
            pairs.append((first[key], name))
    return pairs


def _names(names: list[str]) -> str:
    return join_first(names, _MAX_NAMES)
