"""Exported models in place of weight files: the part of the engine, which knows neither formats nor runtimes.

A package that can read exported models registers an object of `ModelFiles` under the entry point group
`eva_vision.model_files` of its distribution. The verbs that take weights then take its files as well: the recipe is the
one inside of the file, and the model is a module that runs the file.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eva_backbone.errors import InputError
from eva_engine.tasks import load_entry_points

if TYPE_CHECKING:
    from torch import nn

GROUP = "eva_vision.model_files"


@dataclass(frozen=True)
class ModelFiles:
    """A kind of files with exported models; functions are references, "module:name", which are imported when used.

    Attributes:
        suffix: End of the names of the files, such as ".onnx".
        is_executed: Whether opening a file can run any code, so that the user must trust it.
        recipe: Function that returns the recipe in a file as YAML, `recipe(path)`.
        open: Function that returns the model of a file, `open(path, cfg, device)`, on the CPU and in evaluation mode.
        describe: Function that returns lines about a file, `describe(path)`.
    """

    suffix: str
    is_executed: bool
    recipe: str
    open: str
    describe: str

    def call(self, part: str, *args: Any) -> Any:
        """Call one of the functions."""
        module, _, name = getattr(self, part).partition(":")
        return getattr(import_module(module), name)(*args)


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Return whether a file has the name of an exported model."""
    return _kind_of(path) is not None


def check_readable(path: str | os.PathLike[str]) -> None:
    """Check that an exported model exists and can be read.

    Raises:
        InputError: It does not.
    """
    _require(path)


def exported_recipe(path: str | os.PathLike[str]) -> str:
    """Return the recipe in an exported model as YAML.

    Raises:
        InputError: The file does not exist, is damaged, or was not exported by this project.
    """
    return _require(path).call("recipe", Path(path))


def open_exported(path: str | os.PathLike[str], cfg: Any, dtype: str = "float32", device: str = "auto") -> "nn.Module":
    """Return a module that runs an exported model, and that its task's predictor and evaluation can use as the model.

    Args:
        path: The file.
        cfg: Its recipe with the changes of the user.
        dtype: What the user gave; the type of an exported model is that of its export, so "float32" and "auto" stand
            for any.
        device: "auto" or the name of a torch device.

    Raises:
        InputError: The file cannot be opened, the package that runs it is not installed, or the device or the type
            cannot be used.
    """
    if dtype not in ("float32", "auto"):
        raise InputError(
            f"{path} is an exported model, whose type is that of its export; leave --dtype {dtype} out, or export the "
            "model in this type."
        )
    return _require(path).call("open", Path(path), cfg, device)


def describe_exported(path: str | os.PathLike[str]) -> Iterable[str]:
    """Return lines about an exported model, for `inspect`."""
    return _require(path).call("describe", Path(path))


def check_exported(path: str | os.PathLike[str], trusted: Sequence[str]) -> None:
    """Check that the user trusts an exported model whose opening can run code; for other files do nothing.

    Args:
        path: What the user gave.
        trusted: Files given with --trust-recipe.

    Raises:
        InputError: It can, and is not one of the trusted files.
    """
    kind = _kind_of(path)
    if kind is None or not kind.is_executed:
        return
    if os.path.abspath(path) not in [os.path.abspath(file) for file in trusted]:
        raise InputError(
            f"{path} is a program, and opening it can run any code; if you trust it, add --trust-recipe {path}, or "
            "give a model that was exported as ONNX or OpenVINO."
        )


def _kind_of(path: str | os.PathLike[str]) -> ModelFiles | None:
    return _kinds().get(Path(path).suffix.lower())


@cache
def _kinds() -> dict[str, ModelFiles]:
    return {kind.suffix: kind for kind in load_entry_points(GROUP, ModelFiles)}


def _require(path: str | os.PathLike[str]) -> ModelFiles:
    kind = _kind_of(path)
    if kind is None or not os.path.isfile(path):
        raise InputError(f"{path} does not exist or is not an exported model; check its path.")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read by this user; change its permissions.")
    return kind
