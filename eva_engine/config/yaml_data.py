"""Read a YAML config as data: plain values and names of functions, whose size after resolving references is bounded."""

import re
from pathlib import Path
from typing import Any

import yaml
from detectron2.layers import ShapeSpec

from eva_backbone.errors import InputError
from eva_engine.text_file import read_text

MAX_BYTES, MAX_NODES, MAX_DEPTH, MAX_RESOLVED = 2**21, 100_000, 50, 10**6
_STANDARD = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_STANDARD + kind for kind in ("null", "bool", "int", "float", "str", "seq", "map")}
_NAME_TAG = f"{_STANDARD}python/name:"
_SHAPE_TAG = f"{_STANDARD}python/object:{ShapeSpec.__module__}.ShapeSpec"
_FIX = "give the recipe that it was saved from"
# A relative reference has one dot per level up; one without dots starts at the top.
_REFERENCE = re.compile(r"\$\{(\.*)([\w-]+(?:\.[\w-]+)*)\}")


class Name(str):
    """Dotted name of a class or function that is a value in a config."""


class _DataLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's safe loader with the two kinds of objects that runs write."""


_DataLoader.add_multi_constructor(_NAME_TAG, lambda _loader, name, _node: Name(name))
_DataLoader.add_constructor(
    _SHAPE_TAG,
    lambda loader, node: ShapeSpec(
        **{key: value and int(value) for key, value in loader.construct_mapping(node).items()}
    ),
)


def read_yaml(path: str | Path) -> dict[Any, Any]:
    """Read a config that a run has saved; see :func:`parse_yaml`."""
    return parse_yaml(read_text(path, "config file", _FIX, MAX_BYTES), path)


def parse_yaml(text: str, path: str | Path) -> dict[Any, Any]:
    """Parse a YAML config without calling or importing anything.

    Args:
        text: YAML document of plain values, tags `python/name` (returned as :class:`Name`) and shapes.
        path: Its file, for messages.

    Raises:
        InputError: It is not YAML, has another tag, an alias or an expression such as `${oc.env:HOME}`, or has more
            values than any config, also after its references are resolved.
    """
    try:
        _check_events(text)
        content = yaml.load(text, _DataLoader)
        if not isinstance(content, dict) or not content:
            raise InputError(f"{path} has no settings; give a recipe of projects/, or the config.yaml of a run")
        _measure(content, (), {})
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be loaded as data ({reason}); {_FIX}") from error
    return content


def _check_events(text: str) -> None:
    """Check tags, aliases, depth and number of values before any of them is built."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, _DataLoader)):
        line = event.start_mark.line + 1
        tag = getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"line {line} has an alias, which can expand to any size")
        if tag and tag not in _PLAIN_TAGS and tag != _SHAPE_TAG and not tag.startswith(_NAME_TAG):
            raise ValueError(f"line {line} has the tag {tag.replace(_STANDARD, '!!')}, but a .yaml file is not code")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or number > MAX_NODES:
            raise ValueError(f"line {line} has more than {MAX_DEPTH} levels or {MAX_NODES:,} values")


def _measure(content: dict, path: tuple, measured: dict[tuple, tuple[int, int]]) -> tuple[int, int]:
    """Return the size and depth of the value at `path` after its references are resolved."""
    if path in measured:
        return measured[path]
    measured[path] = MAX_RESOLVED, MAX_DEPTH  # until it is known: a reference to a value that contains it is too large
    node = _value_at(content, path)
    size, depth, parts = 1, 0, []
    if isinstance(node, dict):
        for key in node:
            if not isinstance(key, str | int | float):
                raise ValueError(f"the key {str(key)[:80]} is neither text nor a number")
    if isinstance(node, dict | list):
        parts = [(*path, key) for key in (node if isinstance(node, dict) else range(len(node)))]
    elif isinstance(node, str) and not isinstance(node, Name):
        size += len(node)
        parts = _references(node, path)
    for part in parts:
        part_size, part_depth = _measure(content, part, measured)
        size, depth = size + part_size, max(depth, part_depth + 1)
        if size > MAX_RESOLVED or depth > MAX_DEPTH:
            raise ValueError(f"the references of {'.'.join(map(str, part))} expand to any size")
    measured[path] = size, depth
    return size, depth


def _references(text: str, path: tuple) -> list[tuple]:
    """Return the paths that a string at `path` refers to."""
    targets = []
    for start in re.finditer(r"(\\*)\$\{", text):
        match = _REFERENCE.match(text, start.end() - 2)
        if len(start[1]) % 2 == 1:  # escaped
            continue
        if match is None:
            raise ValueError(f"{text[:80]} is not a reference to a key")
        num_levels_up = len(match[1])
        targets.append((*(path[:-num_levels_up] if num_levels_up else ()), *match[2].split(".")))
    return targets


def _value_at(content: Any, path: tuple) -> Any:
    """Return the value at `path`; None if there is none, so that using it fails."""
    for key in path:
        if isinstance(content, str) and "${" in content:
            raise ValueError(f"{content[:80]} is a reference that another one refers through")
        try:
            content = content[int(key) if isinstance(content, list) else key]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return content
