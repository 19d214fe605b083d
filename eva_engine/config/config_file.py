"""Loading a LazyConfig recipe, and saving it as it is run."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import LazyConfig
from detectron2.utils.registry import _convert_target_to_string
from omegaconf import DictConfig, OmegaConf, SCMode

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path

from .override_keys import apply_overrides
from .train_settings import fill_train_settings

logger = logging.getLogger(__name__)

# Recipes are found from any folder: the copies that an installed package carries, or those of the checkout.
RECIPE_ROOTS = (Path(__file__).parents[1], Path(__file__).parents[2])


def load_config(path: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Recipe of `path` (.py, or the .yaml saved by a run) with `overrides` applied. A recipe is code: it is executed.

    A path that starts with projects/ and leads nowhere from the working folder is looked for among the recipes of this
    package.

    `train.*` keys that the recipe does not list have the defaults of `train_settings.py`.

    Raises:
        InputError: no such file, not a recipe, an unknown key in `overrides` or a value of the wrong kind.
    """
    if not path:
        raise InputError("no config file was given; name one with --config-file projects/ViTDet/configs/...")
    file = Path(path)
    if file.suffix not in (".py", ".yaml", ".yml"):
        raise InputError(f"{path} is not a config file; its name must end in .py or .yaml")
    if not file.is_file() and file.parts[0] == "projects":
        file = next((root / file for root in RECIPE_ROOTS if (root / file).is_file()), file)
    if not file.is_file():
        raise InputError(f"the config file {path} does not exist; give its path, or that of a recipe in projects/")
    try:
        cfg = LazyConfig.load(str(file))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} cannot be loaded ({reason}); give the recipe that it was saved from") from error
    return apply_overrides(fill_train_settings(cfg), overrides)


def save_config(cfg: DictConfig, path: str | Path) -> None:
    """Write `cfg` to the .yaml file `path`, from which :func:`load_config` gives the same recipe.

    Keys keep their order, in which modules are built and draw their initial weights; Detectron2's own file sorts them.
    A recipe with functions of its own is written for reading alone, with a warning.
    """
    content = OmegaConf.to_container(cfg, resolve=False, structured_config_mode=SCMode.INSTANTIATE)
    dumped = yaml.dump(
        _with_named_targets(content), default_flow_style=None, allow_unicode=True, width=9999, sort_keys=False
    )
    try:
        yaml.unsafe_load(dumped)  # written a line above
    except Exception as error:  # whatever the objects in it raise
        reason = getattr(error, "problem", error)
        logger.warning("%s can be read but not loaded (%s); give the recipe itself in its place", path, reason)
    with atomic_path(path) as partial:
        partial.write_text(dumped, encoding="utf-8")


def _with_named_targets(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _name(v) if key == "_target_" else _with_named_targets(v) for key, v in content.items()}
    return [_with_named_targets(value) for value in content] if isinstance(content, list) else content


def _name(target: Any) -> Any:
    try:
        return _convert_target_to_string(target) if callable(target) else target
    except AttributeError:  # made by the recipe itself
        return target
