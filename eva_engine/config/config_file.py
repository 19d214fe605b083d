"""Load LazyConfig recipes, and save them as they are run."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import LazyConfig
from detectron2.utils.registry import _convert_target_to_string, locate
from omegaconf import DictConfig, ListConfig, OmegaConf, SCMode

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path

from .override_keys import apply_overrides
from .train_settings import fill_train_settings

logger = logging.getLogger(__name__)

# Folders with projects/: an installed package has copies of the recipes in it, a checkout has them next to it.
RECIPE_ROOTS = (Path(__file__).parents[1], Path(__file__).parents[2])


def load_config(path: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Load the recipe `path` and apply `overrides`. A recipe is code, which is executed.

    `train.*` keys that the recipe does not list get the defaults of `train_settings.py`.

    Args:
        path: A .py file, or the .yaml file that a run has saved. If it starts with projects/ and does not exist in the
            working folder, the recipe of this package is used.
        overrides: Changes `key=value`, see :func:`apply_overrides`.

    Raises:
        InputError: The file does not exist or is not a recipe, or an override has an unknown key or a value of the
            wrong type.
    """
    if not path:
        raise InputError("no config file was given; name one with --config-file projects/ViTDet/configs/...")
    file = Path(path)
    if file.suffix not in (".py", ".yaml", ".yml"):
        raise InputError(f"{path} is not a config file; its name must end in .py or .yaml")
    if not file.is_file() and file.parts[0] == "projects":
        file = _find_in_package(file)
    if not file.is_file():
        raise InputError(f"the config file {path} does not exist; give its path, or the path of a recipe in projects/")
    try:
        cfg = LazyConfig.load(str(file))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be loaded ({reason}); give the recipe that it was saved from") from error
    if not isinstance(cfg, DictConfig) or not cfg:
        raise InputError(f"{path} has no settings; give a recipe of projects/, or the config.yaml of a run")
    if file.suffix != ".py":
        _check_targets(cfg, path)
    return apply_overrides(fill_train_settings(cfg), overrides)


def _check_targets(node: Any, path: str) -> None:
    """Check that the classes and functions in a saved config, which names them by import path, exist."""
    if isinstance(node, DictConfig) and isinstance(node.get("_target_"), str):
        target = node["_target_"]
        try:
            locate(target)
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"{path} names {target}, which this version does not have; give the recipe that the run was started "
                "with"
            ) from error
    if OmegaConf.is_config(node):
        keys = range(len(node)) if isinstance(node, ListConfig) else list(node)
        for key in keys:
            if not OmegaConf.is_interpolation(node, key) and not OmegaConf.is_missing(node, key):
                _check_targets(node[key], path)


def save_config(cfg: DictConfig, path: str | Path) -> None:
    """Write `cfg` to the .yaml file `path`, from which :func:`load_config` loads the same recipe.

    Unlike in Detectron2's own file, keys keep their order: it is the order in which modules are built and draw their
    initial weights. If the recipe contains functions that it defines itself, the file cannot be loaded; it is then
    written for people to read, with a warning.
    """
    content = OmegaConf.to_container(cfg, resolve=False, structured_config_mode=SCMode.INSTANTIATE)
    dumped = yaml.dump(
        _with_named_targets(content), default_flow_style=None, allow_unicode=True, width=9999, sort_keys=False
    )
    try:
        yaml.unsafe_load(dumped)  # safe, because the text was produced above
    except Exception as error:  # any error that the objects in it raise
        reason = getattr(error, "problem", error)
        logger.warning("%s can be read but not loaded (%s); use the recipe itself instead", path, reason)
    with atomic_path(path) as partial:
        partial.write_text(dumped, encoding="utf-8")


def _find_in_package(recipe: Path) -> Path:
    """Return the path of a recipe projects/... in this package; `recipe` itself if the package does not have it."""
    for root in RECIPE_ROOTS:
        if (root / recipe).is_file():
            return root / recipe
    return recipe


def _with_named_targets(content: Any) -> Any:
    """Replace the callable of each `_target_` in a nested config with its import path."""
    if isinstance(content, list):
        return [_with_named_targets(value) for value in content]
    if not isinstance(content, dict):
        return content
    named = {}
    for key, value in content.items():
        named[key] = _import_path(value) if key == "_target_" else _with_named_targets(value)
    return named


def _import_path(target: Any) -> Any:
    if not callable(target):
        return target
    try:
        return _convert_target_to_string(target)
    except AttributeError:  # an object without a name in a module
        return target
