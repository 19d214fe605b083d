"""Names of images and classes in the written files."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from eva_engine.prediction.inputs import Input

_MAX_LETTERS = 60


def names_below_common_folder(inputs: Sequence[Input]) -> Callable[[Input], str]:
    """Return a function that names an input relative to the deepest folder with all inputs, with forward slashes.

    For the files of a folder, it is the name in the folder: what annotation tools expect as `file_name`.
    """
    relative = {os.path.dirname(item.path) for item in inputs}  # few, where `abspath` of each file would take long
    folders = {os.path.abspath(folder) for folder in relative}
    root = os.path.commonpath(folders) if folders else os.getcwd()
    return lambda item: Path(os.path.relpath(os.path.abspath(item.path), root)).as_posix()


def folder_names(class_names: Sequence[str]) -> list[str]:
    """Return a folder name for each class that every file system accepts, with a number if it occurs twice."""
    names: list[str] = []
    taken: set[str] = set()
    for index, class_name in enumerate(class_names):
        name = re.sub(r"[^\w -]", "_", class_name).strip()[:_MAX_LETTERS] or "class"
        if name.casefold() in taken:
            name = f"{name}_{index}"
        taken.add(name.casefold())
        names.append(name)
    return names
