"""Load a model with everything that its predictions need."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eva_backbone.errors import InputError
from eva_engine.commands.missing_package import how_to_install
from eva_engine.foreign_warnings import silence_foreign_warnings

if TYPE_CHECKING:
    from .model import Model


def load(
    name_or_path: str | os.PathLike[str],
    *,
    config_file: str | os.PathLike[str] | None = None,
    device: str = "auto",
    dtype: str = "float32",
    compile: bool = False,
    trust_recipe: str | Sequence[str] = (),
    overrides: str | Sequence[str] = (),
    **options: Any,
) -> "Model":
    """Load a trained model of any task; `python -m tools predict` does the same.

    Args:
        name_or_path: Name of published weights, such as "eva02_L_coco_det_sys_o365", which are downloaded once; output
            folder of a run; weight file; or exported model, which needs no model of PyTorch.
        config_file: Recipe of the model, or a run's config.yaml; by default found from the weights.
        device: "auto" (CUDA if available, else the CPU) or the name of a torch device.
        dtype: Type of the weights: "float32", "bfloat16", "float16" or "auto", the fastest on this device.
        compile: Compile the transformer blocks, which pays off after many images of one size.
        trust_recipe: Your own recipe, or several, whose classes and functions a config.yaml may then name, or exported
            program (.pt2); they are executed.
        overrides: Change to the recipe, or several, such as ["model.roi_heads.maskness_thresh=0.5"].
        options: Options of `predict` for the model's task, such as `score_threshold`, `max_detections`, `class_names`
            (a file, or a list of names), `slice_size` for --slice, `top`, `labels` or `templates`.

    Raises:
        InputError: The weights or their recipe cannot be found or loaded, the device or an option cannot be used, or a
            package that is needed is not installed.
    """
    silence_foreign_warnings()  # before the packages that warn are imported
    trusted = [trust_recipe] if isinstance(trust_recipe, str) else list(trust_recipe)
    try:
        return _load(
            os.fspath(name_or_path),
            os.fspath(config_file or ""),
            [overrides] if isinstance(overrides, str) else overrides,
            trusted,
            device,
            dtype,
            compile,
            options,
        )
    except ModuleNotFoundError as error:
        advice = how_to_install(error)
        if advice is None:
            raise
        raise InputError(f"eva_vision.load needs {advice}") from error


def _load(
    weights: str,
    config_file: str,
    overrides: Sequence[str],
    trusted_recipes: Sequence[str],
    device: str,
    dtype: str,
    is_compiled: bool,
    options: Mapping[str, Any],
) -> "Model":
    from eva_engine.prediction.load_predictor import build_predictor, check_options, load_recipe

    from .model import Model

    recipe = load_recipe(weights, config_file, overrides, trusted_recipes)
    checked = check_options(recipe.task.predict_options, options, f"a model for {recipe.task.name}")
    predictor = build_predictor(recipe, weights, device, {**checked, "dtype": dtype}, is_compiled)
    return Model(predictor, recipe, weights, checked.get("class_names"))
