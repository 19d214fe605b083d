"""Every module imports."""

import pkgutil
from importlib import import_module

import pytest

OPTIONAL = {"wandb"}  # packages that a run needs only if its config asks for them
PACKAGES = (
    *("detectron2_ext", "eva_backbone", "eva_classification", "eva_clip"),
    *("eva_demos", "eva_deploy", "eva_engine", "eva_semseg", "eva_video", "eva_vision"),
)


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_import(package):
    for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        try:
            import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name not in OPTIONAL:
                raise
