"""A Sphinx extension that writes the reference pages from the program: commands, recipe keys, models, Python names.

The pages are in `docs/reference/`, which git ignores.
"""

import argparse
import io
import json
import tokenize
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from model_zoo import model_zoo
from sphinx.application import Sphinx

from eva_engine.commands.verbs import find_verbs
from eva_engine.config.train_settings import TRAIN_SETTINGS
from eva_engine.tasks import DATA, DEMOS, EVERY_TASK, WEIGHT_FILES

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the pages when Sphinx has read its settings."""
    app.connect("builder-inited", lambda _: write_pages())
    app.connect("autodoc-process-docstring", _mark_examples, priority=0)  # before napoleon
    app.connect("autodoc-skip-member", _skip_field)
    return {"parallel_read_safe": True}


def _mark_examples(_app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Turn an indented example after "...:" and an empty line into a literal block, in place."""
    for index in range(len(lines) - 2):
        line, empty, example = lines[index : index + 3]
        is_indented = len(example) - len(example.lstrip()) > len(line) - len(line.lstrip())
        if line.endswith(":") and not line.endswith("::") and not empty.strip() and is_indented:
            lines[index] += ":"


def _skip_field(_app: Sphinx, _what: str, _name: str, value: Any, _skip: bool, _options: Any) -> bool | None:
    """Leave out fields of named tuples, which the docstring of the class describes."""
    return True if type(value).__name__ == "_tuplegetter" else None


def write_pages() -> None:
    """Write all reference pages."""
    REFERENCE.mkdir(exist_ok=True)
    pages = {
        "commands": commands(),
        "train_keys": train_keys(),
        "model_zoo": model_zoo(ROOT),
        **python_pages(),
    }
    for name, lines in pages.items():
        text = "\n".join(lines) + "\n"
        file = REFERENCE / f"{name}.md"
        if not file.exists() or file.read_text(encoding="utf-8") != text:  # Sphinx rebuilds what has changed
            file.write_text(text, encoding="utf-8")


def commands() -> Iterator[str]:
    """Yield the page of all commands with their options."""
    yield "# Commands"
    yield ""
    yield "`python -m tools VERB`, or `eva-vision VERB` if the package is installed. See also [exit status, stopped"
    yield "runs and limits](../howto/commands.md)."
    verbs = find_verbs()
    for group in (EVERY_TASK, DATA, WEIGHT_FILES, DEMOS):
        yield from ["", f"## {group[0].upper()}{group[1:]}"]
        for name, verb in verbs.items():
            if verb.group == group:
                yield from ["", f"### {name}", "", f"{verb.summary[0].upper()}{verb.summary[1:]}."]
                yield from _parser_lines(_parser(verb.module, verb.arguments))


def _parser(module: str, arguments: tuple[str, ...]) -> argparse.ArgumentParser:
    """Return the parser of a command, as it is when the command begins to parse."""
    parsers: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        parsers.append(parser)
        raise SystemExit

    original = argparse.ArgumentParser.parse_known_args
    argparse.ArgumentParser.parse_known_args = stop  # type: ignore[method-assign, assignment]
    try:
        with suppress(SystemExit):
            import_module(module).main([*arguments])
    finally:
        argparse.ArgumentParser.parse_known_args = original  # type: ignore[method-assign]
    return parsers[0]


def _parser_lines(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from ["", "```text", *(parser.description or "").strip().splitlines(), "```"]
    rows = [row for group in parser._action_groups for action in group._group_actions for row in _option_row(action)]
    if rows:
        yield from ["", "| option | meaning |", "|---|---|", *rows]


def _option_row(action: argparse.Action) -> Iterator[str]:
    """Yield the row of a documented option or argument."""
    if action.help in (None, argparse.SUPPRESS) or action.dest == "help":
        return
    value = ""
    if action.nargs != 0:
        choices = ",".join(map(str, action.choices)) if action.choices else ""
        metavar = action.metavar if isinstance(action.metavar, str) else " ".join(action.metavar or ())
        value = " " + (metavar or (f"{{{choices}}}" if choices else action.dest.upper()))
    name = ", ".join(flag + value for flag in action.option_strings) or (value.strip())
    meaning = (action.help or "") % {**vars(action), "prog": ""}
    yield f"| `{_cell(name)}` | {_cell(meaning)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def train_keys() -> Iterator[str]:
    """Yield the page of all `train.*` keys, with the comments above them in the source."""
    yield "# Recipe keys"
    yield ""
    yield "Every key can be changed on the command line, as in `train.max_iter=2000`. These are those of `train`; the"
    yield "keys of `model`, `dataloader`, `optimizer` and `lr_multiplier` are the arguments of the classes that a"
    yield "recipe names, see [Python](python.md)."
    yield from ["", "| key | default | meaning |", "|---|---|---|"]
    meanings = _comments_above_keys((ROOT / "eva_engine/config/train_settings.py").read_text(encoding="utf-8"))
    for name, value in TRAIN_SETTINGS.items():
        meaning = _cell(meanings.get(name, ""))
        if isinstance(value, dict):
            for part, default in value.items():
                yield f"| `train.{name}.{part}` | `{_cell(json.dumps(default))}` | {meaning} |"
                meaning = "see above"
        else:
            yield f"| `train.{name}` | `{_cell(json.dumps(value))}` | {meaning} |"


def _comments_above_keys(source: str) -> dict[str, str]:
    """Return the comment directly above each key of the dictionary, which is indented by four spaces."""
    meanings: dict[str, str] = {}
    comment: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.start[1] == 4:
            comment.append(token.string.lstrip("# "))
        elif token.type == tokenize.STRING and token.start[1] == 4:
            meanings[token.string.strip("\"'")] = " ".join(comment)
            comment = []
    return meanings


def python_pages() -> dict[str, Iterator[str]]:
    """Return the page of each package that exports names, and a page that lists them."""
    listed = json.loads((ROOT / "tests/data/public_names.json").read_text(encoding="utf-8"))["exported"]
    packages = sorted(listed, key=lambda package: (package != "eva_vision", package))
    pages = {"python": _python_index(packages)}
    documented: dict[int, str] = {}  # package on whose page an object is described, by id
    for package in packages:
        pages[_page_name(package)] = iter([*_python_page(package, listed[package], documented)])
    return pages


def _page_name(package: str) -> str:
    return f"python_{package.replace('.', '_')}"


def _python_index(packages: list[str]) -> Iterator[str]:
    yield "# Python"
    yield ""
    yield "The public names of each package. Start with [Python](../howto/python.md), or [use the backbone in another"
    yield "project](../howto/use_the_backbone.md)."
    yield from ["", "```{toctree}", ":maxdepth: 1", ""]
    yield from [_page_name(package) for package in packages]
    yield "```"


def _python_page(package: str, names: list[str], documented: dict[int, str]) -> Iterator[str]:
    yield from [f"# {package}", "", "```{eval-rst}", f".. automodule:: {package}", "   :no-index:", ""]
    module = import_module(package)
    for name in names:
        value = getattr(module, name)
        first = documented.setdefault(id(value), package)
        if first != package:
            yield from [f"``{name}``: see :doc:`{_page_name(first)}`.", ""]
        elif isinstance(value, type):
            yield from [f".. autoclass:: {package}.{name}", "   :members:", "   :show-inheritance:", ""]
        elif callable(value):
            yield from [f".. autofunction:: {package}.{name}", ""]
        else:  # a constant, whose comment in the source says what it is
            yield from [f".. py:data:: {package}.{name}", ""]
    yield "```"
