"""Load LazyConfig recipes, and save them as they are run."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import LazyConfig
from omegaconf import DictConfig, OmegaConf, SCMode

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path
from eva_engine.exported_models import exported_recipe, is_exported

from .config_path import find_config_file
from .former_names import with_current_names
from .moved_run import with_present_paths
from .override_grammar import target_values
from .override_keys import apply_overrides
from .train_settings import fill_train_settings
from .trusted_names import check_names, import_name, import_path, named
from .value_checks import check_values
from .yaml_data import Name, parse_yaml, read_yaml

logger = logging.getLogger(__name__)


def load_config(path: str, overrides: Sequence[str] = (), trusted_recipes: Sequence[str] = ()) -> DictConfig:
    """Load the recipe `path` and apply `overrides`. A .py file is code, which is executed; all others are data.

    `train.*` keys that the recipe does not list get the defaults of `train_settings.py`.

    Args:
        path: A .py file, the .yaml file that a run has saved, or an exported model, which contains its recipe. If it
            starts with projects/ and does not exist in the working folder, the recipe of this package is used.
        overrides: Changes `key=value`, see :func:`apply_overrides`.
        trusted_recipes: Recipes whose classes and functions a .yaml file may name, in addition to those of installed
            packages and the `_target_` of an override.

    Raises:
        InputError: The file does not exist or is not a recipe, a .yaml file names other classes or functions, an
            override has an unknown key, or a value is unusable.
    """
    file = find_config_file(path)
    if file.suffix == ".py":
        cfg = LazyConfig.load(str(file))
    else:
        cfg = OmegaConf.create(_read_saved(file, overrides, trusted_recipes), flags={"allow_objects": True})
    if not isinstance(cfg, DictConfig) or not cfg:
        raise InputError(f"{path} has no settings; give a recipe of projects/, or the config.yaml of a run")
    apply_overrides(fill_train_settings(cfg), overrides)
    check_values(cfg)
    return cfg


def _read_saved(file: Path, overrides: Sequence[str], trusted_recipes: Sequence[str]) -> dict[Any, Any]:
    """Read a recipe that is data; what it names is imported after the names were checked."""
    content = parse_yaml(exported_recipe(file), file) if is_exported(file) else read_yaml(file)
    content = with_present_paths(with_current_names(content), file)
    recipes = [recipe for recipe in trusted_recipes if not is_exported(recipe)]
    check_names(content, str(file), recipes, target_values(overrides))
    return _with_objects(content, "")


def _with_objects(content: Any, key: str) -> Any:
    """Replace the name of each value that is a class or function with the object."""
    if isinstance(content, Name):
        return str(content) if key.endswith("._target_") else import_name(content, key)
    if isinstance(content, dict):
        return {name: _with_objects(value, f"{key}.{name}") for name, value in content.items()}
    if isinstance(content, list):
        return [_with_objects(value, f"{key}.{index}") for index, value in enumerate(content)]
    return content


class _Dumper(yaml.Dumper):
    """Writes a value that occurs twice, such as a function, twice: aliases are refused when the file is read."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def save_config(cfg: DictConfig, path: str | Path) -> None:
    """Write `cfg` to the .yaml file `path`, from which :func:`load_config` loads the same recipe.

    If the recipe contains functions that it defines itself, the file cannot be loaded; it is then written for people to
    read, with a warning.
    """
    dumped = config_text(cfg)
    try:
        for name, key in named(parse_yaml(dumped, path)):
            import_name(name, key)
    except InputError as error:
        logger.warning("%s can be read by people but not be loaded again: %s", path, error)
    with atomic_path(path) as partial:
        partial.write_text(dumped, encoding="utf-8")


def config_text(cfg: DictConfig) -> str:
    """Return `cfg` as YAML.

    Unlike in Detectron2's own file, keys keep their order: it is the order in which modules are built and draw their
    initial weights.
    """
    content = OmegaConf.to_container(cfg, resolve=False, structured_config_mode=SCMode.INSTANTIATE)
    return yaml.dump(
        _with_named_targets(content),
        Dumper=_Dumper,
        default_flow_style=None,
        allow_unicode=True,
        width=9999,
        sort_keys=False,
    )


def _with_named_targets(content: Any) -> Any:
    """Replace the callable of each `_target_` in a nested config with its import path."""
    if isinstance(content, list):
        return [_with_named_targets(value) for value in content]
    if not isinstance(content, dict):
        return content
    named = {}
    for key, value in content.items():
        if callable(value) and key == "_target_":
            named[key] = import_path(value)
        else:
            named[key] = _with_named_targets(value)
    return named
