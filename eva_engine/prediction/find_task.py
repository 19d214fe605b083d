"""Which task a recipe is of, told by the package of its model."""

import inspect
from typing import Any

from detectron2.utils.registry import locate
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.task_parts import find_task_part

from .file_task import FileTask


def find_task(cfg: Any) -> type[FileTask]:
    """``PACKAGE.prediction.Task`` of the recipe's model.

    The package is that of the model's class, or of the function that builds it, or else of the nearest base class from
    a package that has one. A model of none is a detector.

    Raises:
        InputError: a config without a model.
    """
    target = OmegaConf.select(cfg, "model._target_", default=None)
    if target is None:
        raise InputError("the config has no model: give a recipe of projects/, or the config.yaml of a run.")
    if isinstance(target, str):
        target = locate(target)
    from detectron2_ext.prediction.task import Task

    origins = inspect.getmro(target) if inspect.isclass(target) else [target]
    return find_task_part(origins, "prediction", "Task", FileTask) or Task
