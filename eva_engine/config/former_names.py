"""Classes and functions that an earlier version wrote into config.yaml under another name."""

from collections.abc import Mapping
from typing import Any

from eva_engine.tasks import all_tasks

from .yaml_data import Name


def with_current_names(content: Any) -> Any:
    """Return the content of a saved config with the names of this version, see `Task.former_names`."""
    current: dict[str, str] = {}
    for task in all_tasks():
        current.update(task.former_names)
    return _renamed(content, "", current)


def _renamed(node: Any, key: str, current: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {name: _renamed(value, str(name), current) for name, value in node.items()}
    if isinstance(node, list):
        return [_renamed(value, "", current) for value in node]
    if isinstance(node, Name):
        return Name(current.get(node, node))
    if key == "_target_" and isinstance(node, str):
        return current.get(node, node)
    return node
