"""Every module imports."""

import pkgutil
from importlib import import_module

import pytest

OPTIONAL = {"wandb"}  # what a module needs of which each run decides whether it is used


@pytest.mark.parametrize(
    "package", ["detectron2_ext", "eva_backbone", "eva_classification", "eva_clip", "eva_semseg", "eva_video"]
)
def test_modules_import(package):
    for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        try:
            import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name not in OPTIONAL:
                raise
