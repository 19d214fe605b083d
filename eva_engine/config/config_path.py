"""Find the file of a config, without the packages that are needed to load it."""

from pathlib import Path

from eva_backbone.errors import InputError
from eva_engine.exported_models import is_exported
from eva_engine.recipe_files import RECIPE_ROOTS


def find_config_file(path: str) -> Path:
    """Return the file that `path` means; a recipe projects/... that does not exist is looked for in this package.

    Raises:
        InputError: The name is empty or not that of a config file, or the file does not exist.
    """
    if not path:
        raise InputError("no config file was given; name one with --config-file projects/ViTDet/configs/...")
    file = Path(path)
    if file.suffix not in (".py", ".yaml", ".yml") and not is_exported(file):
        raise InputError(f"{path} is not a config file; its name must end in .py or .yaml")
    if not file.is_file() and file.parts[0] == "projects":
        file = _find_in_package(file)
    if not file.is_file():
        raise InputError(f"the config file {path} does not exist; give its path, or the path of a recipe in projects/")
    return file


def _find_in_package(recipe: Path) -> Path:
    """Return the path of a recipe projects/... in this package; `recipe` itself if the package does not have it."""
    for root in RECIPE_ROOTS:
        if (root / recipe).is_file():
            return root / recipe
    return recipe
