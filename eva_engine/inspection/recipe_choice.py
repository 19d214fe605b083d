"""Choose the recipe for weights that are given without one, to predict or to evaluate."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.checkpoint.run_folder import RunFolder
from eva_engine.exported_models import is_exported
from eva_engine.published_weights.table import PublishedFile
from eva_engine.published_weights.weight_path import published_name, weight_path
from eva_engine.recipe_files import RecipeFile

from .compatibility import Compatibility
from .identify import Identifier
from .recipes import Recipe, num_variants
from .summary import read_summary

_HOW = "give one with --config-file"


def choose_recipe(weights: str, trusted_recipes: Sequence[str] = ()) -> RecipeFile:
    """Return the recipe for weights: that of a run, of an exported model or of a published name, or the one that fits.

    Nothing is downloaded for a published name.

    Args:
        weights: What the user gave, see `eva_engine.published_weights.weight_path`.
        trusted_recipes: Recipes whose classes and functions the config of a run may name; see `load_config`.

    Raises:
        InputError: No recipe, or several, fit the weights; or they cannot be read.
    """
    folder = Path(weights)
    if os.path.isdir(folder) and RunFolder(folder).best_or_last() is not None:
        config = folder / "config.yaml"
        if not config.is_file():
            raise InputError(f"{folder} has no config.yaml, in which a run stores its recipe; {_HOW}")
        return RecipeFile(str(config), config, "")
    if is_exported(weights):  # it contains its recipe, see `load_config`
        return RecipeFile(weights, Path(weights), "")
    published = published_name(weights)
    if published is not None:
        return _recipe_of_published(published)
    found = _inspect(weight_path(weights), trusted_recipes)
    if not found:
        raise InputError(f"no recipe has the model of {weights}; {_HOW} (python -m tools inspect shows the nearest)")
    if len(found) > 1:
        paths = [recipe.path for recipe in found]
        raise InputError(f"{weights} fits {len(found)} recipes, {_listed(paths)}; {_HOW}")
    return found[0].file or RecipeFile(found[0].path, Path(found[0].path), "")


def _recipe_of_published(published: PublishedFile) -> RecipeFile:
    recipe = published.recipe
    if recipe is not None:
        return recipe
    evaluating = [recipe.path for recipe in published.evaluating_recipes]
    if evaluating:
        raise InputError(f"{published.name} is evaluated by {len(evaluating)} recipes, {_listed(evaluating)}; {_HOW}")
    starting = [recipe.path for recipe in published.starting_recipes]
    if not starting:
        raise InputError(f"no recipe uses {published.name}; {_HOW}")
    raise InputError(
        f"no recipe evaluates {published.name}, it is the start of training with {_listed(starting)}; {_HOW}"
    )


def _inspect(path: Path, trusted_recipes: Sequence[str]) -> list[Recipe]:
    """Return the recipes of the model in a file, only the best of them if it is clear which one is."""
    candidates = list(Identifier(trusted_recipes=trusted_recipes).identify(read_summary(path)).same)
    recipes = [found.recipe for found in candidates]
    most = max((num_variants(recipe, recipes) for recipe in recipes), default=0)
    preferences: tuple[Callable[[Compatibility], bool], ...] = (
        lambda found: found.recipe.evaluates(path),
        lambda found: found.recipe.evaluates_published,
        lambda found: found.is_exact,
        lambda found: num_variants(found.recipe, recipes) == most,
    )
    for is_preferred in preferences:
        candidates = [found for found in candidates if is_preferred(found)] or candidates
    return [found.recipe for found in candidates]


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(paths[:8]) + (", ..." if len(paths) > 8 else "")
