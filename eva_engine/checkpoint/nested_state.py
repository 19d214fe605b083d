"""Walking the nested dictionaries that the state of a training run is."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor

KeyPath = tuple[str | int, ...]


def named_leaves(state: Mapping, prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every value inside `state` that is no mapping, with the keys that lead to it."""
    for key, value in state.items():
        if isinstance(value, Mapping):
            yield from named_leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def sharded_part(state: Mapping) -> dict:
    """The sharded tensors of `state`, in their places; empty where it has none."""
    result = {}
    for key, value in state.items():
        inner = sharded_part(value) if isinstance(value, Mapping) else value
        if isinstance(value, DTensor) or (isinstance(value, Mapping) and inner):
            result[key] = inner
    return result


def whole_part(state: Mapping) -> dict:
    """`state` without its sharded tensors; empty dictionaries stay."""
    return {
        key: whole_part(value) if isinstance(value, Mapping) else value
        for key, value in state.items()
        if not isinstance(value, DTensor)
    }


def put(state: dict, path: KeyPath, value: Any) -> None:
    """Set the value that the keys `path` lead to; dictionaries on the way are made."""
    for key in path[:-1]:
        state = state.setdefault(key, {})
    state[path[-1]] = value


def tensor_bytes(state: Mapping) -> int:
    """Bytes of all tensors of `state` that lie in this process; of a sharded one its part here."""
    total = 0
    for _, value in named_leaves(state):
        if isinstance(value, Tensor):
            total += (value.to_local() if isinstance(value, DTensor) else value).nbytes
    return total
