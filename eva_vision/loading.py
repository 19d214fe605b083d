"""Load a model with everything that its predictions need."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from eva_engine.foreign_warnings import silence_foreign_warnings

if TYPE_CHECKING:
    from .model import Model


def load(
    name_or_path: str | os.PathLike[str],
    *,
    config_file: str | os.PathLike[str] | None = None,
    device: str = "auto",
    trust_recipe: str | Sequence[str] = (),
    overrides: Sequence[str] = (),
    **options: Any,
) -> "Model":
    """Load a trained model of any task; `python -m tools predict` does the same.

    Args:
        name_or_path: Name of published weights, such as "eva02_L_coco_det_sys_o365", which are downloaded once; output
            folder of a run; or weight file.
        config_file: Recipe of the model, or a run's config.yaml; by default the one that the weights show.
        device: "auto" (CUDA if available, else the CPU) or the name of a torch device.
        trust_recipe: Recipe of yours, or several, whose classes and functions a config.yaml may name too; they are
            executed.
        overrides: Changes to the recipe, such as ["model.roi_heads.maskness_thresh=0.5"].
        options: Options of `predict` for the model's task, such as `score_threshold`, `max_detections`, `class_names`
            (a file, or a list of names), `top`, `labels` or `templates`.

    Raises:
        InputError: The weights or their recipe cannot be found or loaded, or the device or an option cannot be used.
    """
    silence_foreign_warnings()  # before the packages that warn are imported
    from eva_engine.prediction.load_predictor import build_predictor, check_options, load_recipe

    from .model import Model

    weights = os.fspath(name_or_path)
    trusted = [trust_recipe] if isinstance(trust_recipe, str) else list(trust_recipe)
    recipe = load_recipe(weights, os.fspath(config_file or ""), overrides, trusted)
    checked = check_options(recipe.task.predict_options, options, f"a model for {recipe.task.name}")
    return Model(build_predictor(recipe, weights, device, checked), recipe.task, recipe.path)
