"""Load recipes, apply and check overrides, and check the data that a recipe names."""

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
