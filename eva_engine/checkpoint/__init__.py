"""Weight files: reading them safely, matching names, loading, saving and resuming."""

from typing import Any

from .files import WRAPPERS, read_file, read_weights, select_weights
from .load_report import LoadReport, ShapeChange
from .loading import build_and_load, load_checkpoint

__all__ = [
    "WRAPPERS",
    "LoadReport",
    "RunCheckpoints",
    "ShapeChange",
    "build_and_load",
    "load_checkpoint",
    "read_file",
    "read_weights",
    "select_weights",
]


def __getattr__(name: str) -> Any:
    if name == "RunCheckpoints":  # torch.distributed.checkpoint is slow to import
        from .run_checkpoints import RunCheckpoints

        return RunCheckpoints
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
