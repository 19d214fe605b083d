"""Find the recipe of weights, check options, and build the predictor: for the command `predict` and for Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.compilation import check_compiler, compile_blocks
from eva_engine.config import load_config, task_of_config
from eva_engine.exported_models import check_exported, is_exported
from eva_engine.inspection.recipe_choice import choose_recipe
from eva_engine.published_weights.weight_path import weight_path
from eva_engine.tasks import Option, Task

from .categories import Categories, read_categories
from .predictor import Predictor
from .trained_model import pick_device


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe with the task of its model.

    Attributes:
        path: File of the recipe; that of a recipe of this project is relative to the repository.
        cfg: The recipe with all overrides.
        task: Task of its model.
    """

    path: str
    cfg: Any
    task: Task


def load_recipe(
    weights: str, config_file: str = "", overrides: Sequence[str] = (), trusted_recipes: Sequence[str] = ()
) -> LoadedRecipe:
    """Load the recipe with which weights are used.

    Args:
        weights: Weight file of the model, name of a published one, or output folder of a run.
        config_file: Recipe of the model, or a run's config.yaml; "" for the one that the weights show, see
            `choose_recipe`.
        overrides: Changes to the recipe, such as "model.img_size=336".
        trusted_recipes: Recipes whose classes and functions a config.yaml may name too, and exported programs that may
            be opened.

    Raises:
        InputError: The recipe cannot be found or loaded, or its model belongs to no task.
    """
    check_exported(weights, trusted_recipes)
    path = config_file
    if not config_file:
        recipe = choose_recipe(weights, trusted_recipes)
        path, config_file = recipe.path, str(recipe.file)
    cfg = load_config(config_file, overrides, trusted_recipes)
    return LoadedRecipe(path, cfg, task_of_config(cfg))


def build_predictor(
    recipe: LoadedRecipe, weights: str, device: str, options: Mapping[str, Any], is_compiled: bool = False
) -> Predictor[Any, Any]:
    """Build the predictor of a recipe and load its weights, which are downloaded if they are published.

    Args:
        recipe: The recipe.
        weights: See `load_recipe`.
        device: "auto" (CUDA or Apple's GPU if available, else the CPU) or the name of a torch device.
        options: Values of the task's options for the predictor, by name; `class_names` is a file, see
            `read_categories`, or a list of names.
        is_compiled: Whether the transformer blocks are compiled, each kind when it is first used.

    Raises:
        InputError: The weights, the device or an option cannot be used, or there is no compiler.
    """
    keywords = dict(options)
    if "class_names" in keywords:
        keywords["class_names"] = _categories(keywords["class_names"])
    if is_compiled and is_exported(weights):
        raise InputError(f"{weights} is an exported model, whose blocks cannot be compiled; leave --compile out.")
    if is_compiled:
        check_compiler(pick_device(device), "--compile")  # before a large model is loaded
    predictor = recipe.task.load("predictor").from_config(recipe.cfg, weight_path(weights), device, **keywords)
    if is_compiled:
        compile_blocks(predictor.model, "--compile")
    return predictor


def _categories(given: str | Path | Sequence[str] | Categories) -> Categories:
    if isinstance(given, Categories):
        return given
    if isinstance(given, str | Path):
        return read_categories(given)
    return Categories(tuple(given), tuple(range(len(given))))


def check_options(options: Sequence[Option], given: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Check options that are given as Python keywords as the command line checks them.

    Args:
        options: Options that are accepted.
        given: Values by name; None stands for the default. An option whose flag has another name is known by that of
            its flag, too, such as `slice` for `slice_size`.
        owner: What accepts the options, for messages.

    Returns:
        The values that are not None, numbers in the type of the command.

    Raises:
        InputError: An option is unknown, or its value is not one that the command accepts.
    """
    by_name = {option.name: option for option in options}
    name_of_flag = {option.flag.lstrip("-").replace("-", "_"): option.name for option in options}
    given = {name_of_flag.get(name, name): value for name, value in given.items()}
    unknown = [name for name in given if name not in by_name]
    if unknown:
        accepted = ", ".join(by_name) or "no options"
        raise InputError(f"{', '.join(unknown)} is not an option of {owner}, which accepts {accepted}.")
    return {name: _checked(by_name[name], value) for name, value in given.items() if value is not None}


def _checked(option: Option, value: Any) -> Any:
    parse, choices = option.keywords.get("type"), option.keywords.get("choices")
    if choices is not None and value not in choices:
        raise InputError(f"{option.name}={value!r} is unknown; choose one of {', '.join(choices)}.")
    if parse is not None:
        # Several numbers are one argument on the command line, separated by commas.
        is_list = isinstance(value, list | tuple)
        text, expected = (",".join(map(str, value)), tuple(value)) if is_list else (value, value)
        try:
            parsed = parse(text)
            is_valid = bool(parsed == expected) and not isinstance(value, bool | np.bool_)  # which would be 0 or 1
        except (AttributeError, TypeError, ValueError):
            is_valid = False
        if not is_valid:
            raise InputError(f"{option.name}={value!r} is not a {parse.__name__}; give one.")
        return parsed
    if option.keywords.get("nargs") == "+" and isinstance(value, str):
        return [value]  # a single text, which would otherwise be a sequence of letters
    return value
