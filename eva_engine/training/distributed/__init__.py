"""Many processes: starting them, joining them, and splitting a model among them."""

from typing import TYPE_CHECKING

from eva_backbone.lazy_exports import lazy_exports

# Not lazy: the name of the function would otherwise be hidden by its module.
from .launch import launch, restarted_by_torchrun, starts_processes

if TYPE_CHECKING:
    from .parallel import parallelize

__all__ = ["launch", "parallelize", "restarted_by_torchrun", "starts_processes"]

# FSDP takes seconds to import, and the evaluators of recipes need only `gathering`.
__getattr__ = lazy_exports(__name__, {"parallelize": "parallel"})
