"""From files and command lines to a checked recipe."""

from .config_file import load_config, save_config
from .data_checks import check_batch_size, check_datasets
from .own_data import OwnData, save_categories, use_own_data
from .train_settings import TRAIN_SETTINGS

__all__ = [
    "TRAIN_SETTINGS",
    "OwnData",
    "check_batch_size",
    "check_datasets",
    "load_config",
    "save_categories",
    "save_config",
    "use_own_data",
]
