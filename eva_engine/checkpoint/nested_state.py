"""Functions on nested dictionaries, which hold the state of a training run."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor

from eva_backbone.errors import InputError

KeyPath = tuple[str | int, ...]


def named_leaves(state: Mapping, prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every value in `state` that is not a mapping, after the path of keys that leads to it."""
    for key, value in state.items():
        if isinstance(value, Mapping):
            yield from named_leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def sharded_part(state: Mapping) -> dict:
    """Return the sharded tensors of `state` under the same keys; dictionaries without any are left out."""
    result: dict[Any, Any] = {}
    for key, value in state.items():
        if isinstance(value, DTensor):
            result[key] = value
        elif isinstance(value, Mapping):
            inner = sharded_part(value)
            if inner:
                result[key] = inner
    return result


def unsharded_part(state: Mapping) -> dict:
    """Return `state` without its sharded tensors; empty dictionaries stay."""
    result: dict[Any, Any] = {}
    for key, value in state.items():
        if isinstance(value, Mapping):
            result[key] = unsharded_part(value)
        elif not isinstance(value, DTensor):
            result[key] = value
    return result


def set_nested(state: dict, path: KeyPath, value: Any) -> None:
    """Set the value at a path of keys; missing dictionaries on the path are created.

    Raises:
        InputError: Another value has a place on the path.
    """
    for key in path[:-1]:
        state = state.setdefault(key, {})
        if not isinstance(state, dict):
            raise InputError(f"the checkpoint has a {type(state).__name__} at {key!r} of {path}; use an earlier one.")
    state[path[-1]] = value


def local_tensor_bytes(state: Mapping) -> int:
    """Return the number of bytes of all tensors in `state`; of sharded tensors, only the local shard counts."""
    total = 0
    for _, value in named_leaves(state):
        if isinstance(value, Tensor):
            total += (value.to_local() if isinstance(value, DTensor) else value).nbytes
    return total
