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
    value_range: Sequence[float] | None = None,
    trust_recipe: str | Sequence[str] = (),
    overrides: str | Sequence[str] = (),
    **options: Any,
) -> "Model":
    """Load a trained model of any task; `python -m tools predict` does the same.

    Args:
        name_or_path: Name of published weights, such as "eva02_L_coco_det_sys_o365", which are downloaded once; output
            folder of a run; weight file; or exported model, which needs no model of PyTorch.
        config_file: Recipe of the model, or a run's config.yaml; by default found from the weights.
        device: "auto" (CUDA or Apple's GPU if available, else the CPU) or the name of a torch device.
        dtype: Type of the weights: "float32", "bfloat16", "float16" or "auto", the fastest on this device.
        compile: Compile the transformer blocks, which pays off after many images of one size.
        value_range: Values of black and of white in images with more than 8 bits per channel, files, images of Pillow
            or uint16 arrays [H, W] or [H, W, 3], which are refused without it.
        trust_recipe: Your own recipe, or several, whose classes and functions a config.yaml may then name, or exported
            program (.pt2); they are executed.
        overrides: Change to the recipe, or several, such as ["model.roi_heads.maskness_thresh=0.5"].
        options: Options of `predict` for the model's task, such as `score_threshold`, `max_detections`, `class_names`
            (a file, or a list of names), `slice`, `top`, `labels` or `templates`.

    Raises:
        InputError: The weights or their recipe cannot be found or loaded, the device or an option cannot be used, or a
            package that is needed is not installed.
    """
    if not isinstance(name_or_path, str | os.PathLike) or not os.fspath(name_or_path):
        raise InputError(
            f"the weights are {name_or_path!r}; give the name of published weights, the output folder of a run, or a "
            "weight file"
        )
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
            value_range,
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
    value_range: Sequence[float] | None,
    options: Mapping[str, Any],
) -> "Model":
    from eva_engine.data.deep_image import check_value_range
    from eva_engine.prediction.load_predictor import build_predictor, check_options, load_recipe

    from .model import Model

    recipe = load_recipe(weights, config_file, overrides, trusted_recipes)
    checked = check_options(recipe.task.predict_options, options, f"a model for {recipe.task.name}")
    kinds = recipe.task.load("predictor").kinds
    levels = check_value_range(value_range, kinds, "value_range", f"value_range={value_range!r}")
    predictor: Any = build_predictor(recipe, weights, device, {**checked, "dtype": dtype}, is_compiled)
    if levels is not None:
        predictor.value_range = levels
    return Model(predictor, recipe, weights, checked.get("class_names"))
