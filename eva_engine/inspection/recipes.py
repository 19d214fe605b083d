"""The recipes of the project, and their models without memory."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from eva_engine.config.instantiation import instantiate
from eva_engine.config.recipe_loader import RecipeLoader
from eva_engine.garbage import garbage_collection_paused
from eva_engine.recipe_files import RecipeFile, recipe_files

# In-place functions of tensors, or of torch.nn.init, that give parameters their first values.
_INITIALISERS = {
    *("normal_", "uniform_", "fill_", "zero_", "mul_", "add_", "clamp_", "erfinv_", "copy_"),
    *("constant_", "kaiming_normal_", "kaiming_uniform_", "xavier_normal_", "xavier_uniform_"),
}


@dataclass(frozen=True)
class Recipe:
    """A config.

    Attributes:
        path: Path that commands take.
        cfg: The loaded config. Its entry `published`, {"init": [...], "evaluate": [...]}, names the weight files that
            training starts from and that the recipe evaluates.
        file: File of the recipe; None for the config of a run.
    """

    path: str
    cfg: DictConfig
    file: RecipeFile | None = None

    @property
    def has_evaluation(self) -> bool:
        """Whether the recipe can be evaluated."""
        return OmegaConf.select(self.cfg, "dataloader.evaluator") is not None

    @cached_property
    def model_key(self) -> str:
        """A string that is equal for recipes with the same model."""
        return repr(OmegaConf.to_container(self.cfg.model, resolve=False))

    def starts_from(self, path: Path) -> bool:
        """Return whether the recipe trains from a published file called like `path`, whatever its suffix."""
        return self._publishes("init", path)

    def evaluates(self, path: Path) -> bool:
        """Return whether the recipe evaluates a published file called like `path`, whatever its suffix."""
        return self._publishes("evaluate", path)

    @property
    def evaluates_published(self) -> bool:
        """Whether the recipe evaluates any published file."""
        return bool(OmegaConf.select(self.cfg, "published.evaluate", default=[]))

    def _publishes(self, use: str, path: Path) -> bool:
        names = OmegaConf.select(self.cfg, f"published.{use}", default=[])
        return path.stem in [Path(name).stem for name in names]

    def build_on_meta(self) -> nn.Module:
        """Build the model on the meta device; without the teacher of pre-training, which has a file of its own."""
        cfg = self.cfg
        if "teacher" in cfg.model:
            cfg = copy.deepcopy(cfg)
            cfg.model.teacher = None
        with torch.device("meta"), _WithoutInitialisers(), garbage_collection_paused():
            return instantiate(cfg.model)


class _WithoutInitialisers(TorchFunctionMode):
    """Skips the initialisers of tensors without memory, which take a third of the time of building a model there."""

    def __torch_function__(
        self, func: Callable, types: Iterable[type], args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        options = kwargs or {}
        if getattr(func, "__name__", "") in _INITIALISERS:
            target = args[0] if args else options["tensor"]
            if isinstance(target, Tensor) and target.is_meta:
                return target
        return func(*args, **options)


def find_recipes(*, demos: bool = False) -> list[Recipe]:
    """Load the recipes of this project and of packages that register a task; no file of the working folder is executed.

    Unlike by `load_config`, their values are not checked, and keys of `train` that they do not list stay missing.

    Args:
        demos: Load those of the demos instead.
    """
    recipes, loader = [], RecipeLoader()
    with garbage_collection_paused():
        for file in recipe_files(demos=demos):
            cfg = loader.load(file.file)
            if "model" in cfg:
                recipes.append(Recipe(file.path, cfg, file))
    return recipes


def num_variants(recipe: Recipe, recipes: Iterable[Recipe]) -> int:
    """Return the number of `recipes` that are `recipe` with a few changes."""
    base = recipe.file
    if base is None:
        return 0
    return sum(other.file is not None and base.is_base_of(other.file) for other in recipes)
