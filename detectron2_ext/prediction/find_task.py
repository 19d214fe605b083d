"""Which task a recipe is of, told by the package of its model."""

import inspect
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from detectron2.utils.registry import locate
from omegaconf import OmegaConf

from eva_backbone.errors import InputError

from .file_task import FileTask

DETECTION = "detectron2_ext"  # also of the models that come with Detectron2


def find_task(cfg: Any) -> type[FileTask]:
    """``PACKAGE.prediction.Task`` of the recipe's model.

    The package is that of the model's class, or of the function that builds it, or else of the nearest base class from
    a package that has a ``prediction``; a model of none is a detector.

    Raises:
        InputError: a config without a model.
    """
    target = OmegaConf.select(cfg, "model._target_", default=None)
    if target is None:
        raise InputError("the config has no model: give a recipe of projects/, or the config.yaml of a run.")
    if isinstance(target, str):
        target = locate(target)
    for origin in inspect.getmro(target) if inspect.isclass(target) else [target]:
        package = origin.__module__.partition(".")[0]
        if find_spec(package) and find_spec(f"{package}.prediction"):
            return import_module(f"{package}.prediction").Task
    return import_module(f"{DETECTION}.prediction").Task
