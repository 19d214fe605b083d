"""Find the task of a config."""

from typing import Any

from detectron2.utils.registry import locate
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.tasks import Task, all_tasks, task_of_target


def find_task_of_config(cfg: Any) -> Task | None:
    """Find the task of a config's model; None if there is no model, or if it belongs to no installed task."""
    target = _model_target(cfg)
    return None if target is None else task_of_target(target)


def task_of_config(cfg: Any) -> Task:
    """Find the task of a config's model, by the package of the class or function that builds it.

    Raises:
        InputError: The config has no model, or one that belongs to no installed task.
    """
    target = _model_target(cfg)
    if target is None:
        raise InputError("the config has no model: give a recipe of projects/, or the config.yaml of a run.")
    task = task_of_target(target)
    if task is None:
        names = ", ".join(task.name for task in all_tasks())
        raise InputError(
            f"the config's model, {target.__module__}.{target.__qualname__}, belongs to no installed task ({names}): "
            "derive it from a model of one of them, or register its package as a task."
        )
    return task


def _model_target(cfg: Any) -> Any:
    """Return the class or function that builds the model; None if the config has no model."""
    target = OmegaConf.select(cfg, "model._target_", default=None)
    return locate(target) if isinstance(target, str) else target
