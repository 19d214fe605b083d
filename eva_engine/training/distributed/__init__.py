"""Many processes: starting them, joining them, and splitting a model among them."""

from .launch import launch, restarted_by_torchrun, starts_processes
from .parallel import parallelize

__all__ = ["launch", "parallelize", "restarted_by_torchrun", "starts_processes"]
