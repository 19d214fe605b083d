"""Loading a LazyConfig recipe."""

from collections.abc import Sequence
from pathlib import Path

from detectron2.config import LazyConfig
from omegaconf import DictConfig

from eva_backbone.errors import InputError

from .override_keys import apply_overrides
from .train_settings import fill_train_settings


def load_config(path: str, overrides: Sequence[str] = ()) -> DictConfig:
    """Recipe of `path` (.py, or the .yaml saved by a run) with `overrides` applied. A recipe is code: it is executed.

    `train.*` keys that the recipe does not list have the defaults of `train_settings.py`.

    Raises:
        InputError: no such file, not a recipe, an unknown key in `overrides` or a value of the wrong kind.
    """
    if not path:
        raise InputError("no config file was given; name one with --config-file projects/ViTDet/configs/...")
    file = Path(path)
    if file.suffix not in (".py", ".yaml", ".yml"):
        raise InputError(f"{path} is not a config file; its name must end in .py or .yaml")
    if not file.is_file():
        raise InputError(f"the config file {path} does not exist; run from the repository root, or give its full path")
    return apply_overrides(fill_train_settings(LazyConfig.load(str(file))), overrides)
