"""Loading a LazyConfig recipe, and saving it as it is run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import LazyConfig
from omegaconf import DictConfig, ListConfig

from detectron2_ext.atomic import atomic_path
from eva_backbone.errors import InputError

from .override_keys import apply_overrides
from .train_settings import fill_train_settings

# Recipes are found from any folder: the copies that an installed package carries, or those of the checkout.
RECIPE_ROOTS = (Path(__file__).parents[2], Path(__file__).parents[3])


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
    return apply_overrides(fill_train_settings(LazyConfig.load(str(file))), overrides)


def save_config(cfg: DictConfig, path: str | Path) -> None:
    """Write `cfg` to the .yaml file `path`, from which :func:`load_config` gives the same recipe.

    Keys keep their order, in which modules are built and draw their initial weights; Detectron2's own file sorts them.
    """
    with atomic_path(path) as partial:
        LazyConfig.save(cfg, str(partial))
        with partial.open(encoding="utf-8") as file:
            content = yaml.unsafe_load(file)  # written a line above
        dumped = yaml.dump(
            _ordered(content, cfg), default_flow_style=None, allow_unicode=True, width=9999, sort_keys=False
        )
        partial.write_text(dumped, encoding="utf-8")


def _ordered(content: Any, cfg: Any) -> Any:
    if isinstance(cfg, DictConfig) and isinstance(content, dict):
        return {key: _ordered(content[key], cfg._get_node(key)) for key in cfg}
    if isinstance(cfg, ListConfig) and isinstance(content, list):
        return [_ordered(value, cfg._get_node(i)) for i, value in enumerate(content)]
    return content
