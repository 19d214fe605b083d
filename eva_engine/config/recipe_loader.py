"""Load many recipes, which import the same parts, in less time than `LazyConfig.load` takes for each of them."""

import builtins
import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

from omegaconf import DictConfig, ListConfig

_PACKAGE = "detectron2._cfg_loader"  # what Detectron2 calls the package of a recipe


class RecipeLoader:
    """Load recipes as `LazyConfig.load` does, but execute a file that several of them import only once.

    Each recipe gets its own copy of the configs of such a file, which it may change.
    """

    def __init__(self) -> None:
        self._executed: dict[Path, dict[str, Any]] = {}
        self._builtins = vars(builtins) | {"__import__": self._import}

    def load(self, file: Path) -> DictConfig:
        """Return the configs of a recipe, a .py file, which is executed."""
        found = {
            name: _as_config(value)
            for name, value in self._execute(file).items()
            if isinstance(value, DictConfig | ListConfig | dict) and not name.startswith("_")
        }
        return DictConfig(found, flags={"allow_objects": True})

    def _execute(self, file: Path) -> dict[str, Any]:
        namespace = self._executed.get(file)
        if namespace is None:
            namespace = {"__file__": str(file), "__package__": _PACKAGE, "__builtins__": self._builtins}
            exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), namespace)
            # Functions of recipes may change the configs next to them, which is seen by the one that imports both.
            if not any(self._is_of_recipe(value) for value in namespace.values()):
                self._executed[file] = namespace
        return namespace

    def _is_of_recipe(self, value: Any) -> bool:
        return isinstance(value, FunctionType) and value.__globals__.get("__builtins__") is self._builtins

    def _import(
        self,
        name: str,
        importing: Mapping[str, Any] | None = None,
        local: Mapping[str, Any] | None = None,
        names: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType | SimpleNamespace:
        """Import for the files of recipes, in which a relative import is that of another file."""
        if level == 0 or importing is None:
            return __import__(name, importing, local, names, level)
        file = Path(importing["__file__"]).parents[level - 1].joinpath(*name.split(".")).with_suffix(".py")
        namespace = self._execute(file)
        for name in names:
            namespace[name] = _as_config(namespace[name])
        shared = file in self._executed
        return SimpleNamespace(**{name: _copied(namespace[name]) if shared else namespace[name] for name in names})


def _copied(value: Any) -> Any:
    """Return a copy of what a recipe may change."""
    return copy.deepcopy(value) if isinstance(value, DictConfig | ListConfig | list) else value


def _as_config(value: Any) -> Any:
    return DictConfig(value, flags={"allow_objects": True}) if isinstance(value, dict) else value
