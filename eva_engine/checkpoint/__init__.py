"""Weight files and checkpoints: read them safely, match names, load, save and resume."""

from typing import TYPE_CHECKING

from eva_backbone.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .files import WRAPPERS, read_file, read_weights, select_weights
    from .load_report import LoadReport, ShapeChange
    from .loading import build_and_load, load_checkpoint
    from .run_checkpoints import RunCheckpoints

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


# Imported on first use, because torch.distributed.checkpoint takes seconds to import.
__getattr__ = lazy_exports(
    __name__,
    {
        "WRAPPERS": "files",
        "LoadReport": "load_report",
        "RunCheckpoints": "run_checkpoints",
        "ShapeChange": "load_report",
        "build_and_load": "loading",
        "load_checkpoint": "loading",
        "read_file": "files",
        "read_weights": "files",
        "select_weights": "files",
    },
)
