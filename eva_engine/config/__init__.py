"""Load recipes, apply and check overrides, and check the data that a recipe names."""

from typing import TYPE_CHECKING

from eva_backbone.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .config_file import load_config, save_config
    from .data_checks import check_batch_size, check_datasets, check_sections
    from .task_lookup import find_task_of_config, task_of_config
    from .train_settings import TRAIN_SETTINGS

__all__ = [
    "TRAIN_SETTINGS",
    "check_batch_size",
    "check_datasets",
    "check_sections",
    "find_task_of_config",
    "load_config",
    "save_config",
    "task_of_config",
]


# Imported on first use: commands check the path of a config and the grammar of overrides before they import Detectron2.
__getattr__ = lazy_exports(
    __name__,
    {
        "load_config": "config_file",
        "save_config": "config_file",
        "check_batch_size": "data_checks",
        "check_datasets": "data_checks",
        "check_sections": "data_checks",
        "find_task_of_config": "task_lookup",
        "task_of_config": "task_lookup",
        "TRAIN_SETTINGS": "train_settings",
    },
)
