"""Which task a recipe is of, told by the package of its model."""

import inspect
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from detectron2.utils.registry import locate
from omegaconf import OmegaConf

from eva_backbone.errors import InputError

from .file_task import FileTask
from .task import Task


def find_task(cfg: Any) -> type[FileTask]:
    """``PACKAGE.prediction.Task`` of the recipe's model.

    The package is that of the model's class, or of the function that builds it, or else of the nearest base class from
    a package that has a ``prediction``. A model of none, such as those of Detectron2, is a detector.

    Raises:
        InputError: a config without a model.
    """
    target = OmegaConf.select(cfg, "model._target_", default=None)
    if target is None:
        raise InputError("the config has no model: give a recipe of projects/, or the config.yaml of a run.")
    if isinstance(target, str):
        target = locate(target)
    for origin in inspect.getmro(target) if inspect.isclass(target) else [target]:
        task = _task_of(origin.__module__.partition(".")[0])
        if task is not None:
            return task
    return Task


def _task_of(package: str) -> type[FileTask] | None:
    # The module of a model may be a plain file, which has no modules below it.
    if not hasattr(sys.modules.get(package), "__path__") or find_spec(f"{package}.prediction") is None:
        return None
    task = getattr(import_module(f"{package}.prediction"), "Task", None)
    return task if inspect.isclass(task) and issubclass(task, FileTask) else None
