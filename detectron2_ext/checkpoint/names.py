"""Long lists of parameter names, shortened without leaving any out."""

from collections.abc import Iterable


def shorten_names(names: Iterable[str]) -> list[str]:
    """`names` with braces around what siblings differ in: ``blocks.{0-39}.{norm1,norm2}.weight`` stands for 80 names.

    Lossless: expanding the braces (comma lists and number ranges, all combinations) gives exactly the names back.
    """
    tree: dict = {}
    for name in names:
        node = tree
        for part in name.split("."):
            node = node.setdefault(part, {})
        node[""] = {}  # a name ends here
    return [".".join(parts) for parts in _lines(tree)]


def _lines(tree: dict) -> list[list[str]]:
    """One list of name parts per line; siblings with the same lines below them are merged."""
    groups: dict[tuple, list[str]] = {}
    ends = "" in tree
    for part, below in tree.items():
        if part:
            groups.setdefault(tuple(tuple(line) for line in _lines(below)), []).append(part)
    lines = [[_braces(parts), *line] for below, parts in groups.items() for line in below]
    return [[], *lines] if ends else lines


def _braces(parts: list[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    words = [part for part in parts if not part.isdecimal()]
    return "{" + ",".join(_ranges(sorted(int(part) for part in parts if part.isdecimal())) + words) + "}"


def _ranges(numbers: list[int]) -> list[str]:
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
