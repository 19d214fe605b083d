"""Training and evaluation of recipes of any task."""

from typing import TYPE_CHECKING

from eva_backbone.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .build import build_model
    from .evaluation import evaluate
    from .optimization import build_optimizer, layer_decay
    from .run import train

__all__ = ["build_model", "build_optimizer", "evaluate", "layer_decay", "train"]

# Imported on first use: recipes and evaluators need single modules of this package, and not all of training.
__getattr__ = lazy_exports(
    __name__,
    {
        "build_model": "build",
        "build_optimizer": "optimization",
        "evaluate": "evaluation",
        "layer_decay": "optimization",
        "train": "run",
    },
)
