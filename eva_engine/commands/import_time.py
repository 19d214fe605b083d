"""Import PyTorch's companions without the parts that take seconds and that a command rarely needs.

Half of the processor time of a prediction's imports was spent on PyTorch's compiler, `torch._dynamo`. torchvision
imports it for one function, timm for a decorator in one model; timm also imports all of its models, where only its
layers are used.
"""

import gc
import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_COMPILER_HELPERS = "torch._dynamo.utils"


def defer_slow_imports() -> None:
    """Import torchvision without PyTorch's compiler, and make timm's models load on first use.

    Commands call this before anything else imports Detectron2, which needs torchvision, or the models, which need
    timm's layers. It changes nothing but the time of imports: the compiler is imported when a model is compiled, and
    `timm.create_model` and all other names of timm are there when they are used. What is imported already stays as it
    is.
    """
    if "torchvision" not in sys.modules and _COMPILER_HELPERS not in sys.modules:
        _import_torchvision()
    if "timm" not in sys.modules:
        _add_lazy_timm()


def _import_torchvision() -> None:
    sys.modules[_COMPILER_HELPERS] = _CompilerHelpers(_COMPILER_HELPERS)
    # Imports create many objects and no garbage, for which collections take a sixth of the time.
    gc.disable()
    try:
        import_module("torchvision")
        gc.freeze()  # later collections do not visit these objects either
    finally:
        gc.enable()
        # Gone, if torchvision needed the module itself.
        if isinstance(sys.modules[_COMPILER_HELPERS], _CompilerHelpers):
            del sys.modules[_COMPILER_HELPERS]


class _CompilerHelpers(ModuleType):
    """Takes the place of `torch._dynamo.utils` while torchvision is imported."""

    def __getattr__(self, name: str) -> Any:
        if name == "is_compile_supported":  # torchvision calls it for deterministic RoIAlign on a GPU
            return _is_compile_supported
        if name.startswith("__"):  # asked for by the import system
            raise AttributeError(name)
        sys.modules.pop(self.__name__, None)
        return getattr(import_module(self.__name__), name)


def _is_compile_supported(device_type: str) -> bool:
    return import_module(_COMPILER_HELPERS).is_compile_supported(device_type)


def _add_lazy_timm() -> None:
    timm = _add_lazy_package("timm")
    if timm is None:  # not installed, which is reported by the module that needs it
        return
    # What modules of timm import from the package itself.
    timm.__dict__["__version__"] = version("timm")
    # Its modules are lazy, too: `timm.data` needs one of them.
    timm.__dict__["models"] = _add_lazy_package("timm.models")
    # Its own code imports all models; a recipe needs one of its modules.
    timm.__dict__["optim"] = _add_lazy_package("timm.optim")


def _add_lazy_package(name: str) -> ModuleType | None:
    spec = find_spec(name)
    if spec is None:
        return None
    package = module_from_spec(spec)
    package.__class__ = _LazyPackage
    sys.modules[name] = package
    return package


class _LazyPackage(ModuleType):
    """A package whose modules can be imported; its own code is executed when one of its names is first used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or self.__spec__ is None or self.__spec__.loader is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__class__ = ModuleType  # type: ignore[assignment]
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)
