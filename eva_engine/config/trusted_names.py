"""Decide which classes and functions a config that is data may name: those that recipes of installed packages use."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from detectron2.config import LazyConfig
from detectron2.utils.registry import _convert_target_to_string, locate
from omegaconf import DictConfig, OmegaConf

from eva_backbone.errors import InputError
from eva_engine.recipe_files import recipe_folders

from .yaml_data import Name


def check_names(content: Any, path: str, recipes: Sequence[str], names: Sequence[str]) -> None:
    """Check that a config names only classes and functions that a recipe uses under exactly the same name.

    Nothing that the config names is imported. Recipes are executed until all names were found.

    Args:
        content: Values of the config.
        path: Its file, for messages.
        recipes: Files of further recipes that the user trusts.
        names: Further names that the user trusts.

    Raises:
        InputError: The config names anything else.
    """
    used = dict(named(content))
    unknown = set(used) - set(names)
    for file in map(Path, recipes):
        if file.suffix != ".py" or not file.is_file():
            raise InputError(f"--trust-recipe {file} is not a recipe; give a .py file that exists")
        unknown -= _names_in_recipe(file.resolve())
    files, mentioned = _installed_recipes(unknown)
    if mentioned < unknown:  # recipes mention what they use, so that most wrong names need no search
        unknown, files = unknown - mentioned, []
    for file in files:
        if not unknown:
            return
        unknown -= _names_in_recipe(file)
    if unknown:
        name = min(unknown)
        or_override = ""
        if used[name].endswith("_target_") and len(name) < 200:
            or_override = f", or {used[name]}={name}"
        raise InputError(
            f"{path} names {name[:200]} as {used[name]}, which no recipe of this version uses; give the recipe that "
            "the run was started with, or, if you trust it, add --trust-recipe FILE.py with a recipe that uses it"
            f"{or_override}"
        )


def import_path(value: Any) -> Any:
    """Return the shortest dotted name under which a class or function can be imported; `value` if it has none."""
    try:
        return _convert_target_to_string(value)
    except AttributeError:  # an object without a name in a module
        return value


def import_name(name: str, key: str) -> Any:
    """Import the class or function that the config names as `key`.

    Raises:
        InputError: It does not exist.
    """
    try:
        return locate(name)
    except Exception as error:  # a module that is imported can fail in many ways
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{key}={name} cannot be imported ({reason}); give a class or function that exists") from error


def join_key(path: str, name: object) -> str:
    """Return the key of the entry `name` in the group `path`, "" for the config itself."""
    return f"{path}.{name}" if path else str(name)


def named(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield all names of classes and functions in a config, each with its key."""
    if isinstance(node, dict):
        for name, value in node.items():
            child = join_key(key, name)
            if name == "_target_":  # text in a .yaml file; a dict, which would build any target, is not a known name
                yield import_path(value) if callable(value) else str(value), child
            else:
                yield from named(value, child)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from named(value, f"{key}.{index}")
    elif isinstance(node, Name):
        yield str(node), key
    elif callable(node):  # in a recipe; names of values are written by PyYAML
        yield f"{node.__module__}.{getattr(node, '__name__', '')}", key


@cache
def _names_in_recipe(file: Path) -> frozenset[str]:
    try:
        cfg: DictConfig = LazyConfig.load(str(file))
    except ImportError:  # a package that only this recipe needs is not installed
        return frozenset()
    return frozenset(name for name, _ in named(OmegaConf.to_container(cfg, resolve=False)))


def _installed_recipes(wanted: set[str]) -> tuple[list[Path], set[str]]:
    """Return the recipes of all installed packages, the likely ones first, and the wanted names that any mentions."""
    ranked, all_mentioned = [], set()
    for folder in recipe_folders():
        texts = {file: file.read_text(encoding="utf-8") for file in folder.glob("**/*.py")}
        of_task = _mentioned(wanted, "".join(texts.values()))
        all_mentioned |= of_task
        for file, text in texts.items():
            if "common" not in file.parts:  # parts of recipes
                ranked.append((-len(of_task), -len(_mentioned(wanted, text)), file))
    return [file for _, _, file in sorted(ranked)], all_mentioned


def _mentioned(names: set[str], text: str) -> set[str]:
    words = set(re.findall(r"\w+", text))
    return {name for name in names if name.rpartition(".")[2] in words}
