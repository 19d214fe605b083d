"""Build a large model without running its initialisers, and run them later for the parameters that no file supplied.

    with deferred_init() as pending:
        model = build()
    ...                                  # assign weights from a file to some of the parameters
    pending.materialize(model, missing)  # the recorded initialisers of the others

Inside the context, in-place operations on an ``nn.Parameter`` whose other arguments are numbers (``normal_``,
``uniform_``, ``fill_``, ``mul_``, ...) are recorded instead of run. A parameter then is address space that was never
written to, so a billion of them cost neither time nor memory. Buffers are computed as usual.

Any other operation that reads such a parameter first runs what was recorded for it, so the values seen during
construction are right; it only costs the time that would have been saved. Limits:

* between the context and ``materialize`` the pending parameters hold arbitrary numbers; the model must not be run,
  copied or moved to another device or dtype in that time;
* reads that bypass PyTorch's dispatcher (``Tensor.numpy()``, ``data_ptr()``) during construction are not seen;
* random numbers are drawn in another order than by plain construction: equal in distribution, not in value.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# In-place operations after which nothing of the earlier content is left.
_OVERWRITING = {"fill_", "zero_", "normal_", "uniform_", "random_"}
_Call = Callable[[], Any]


def _storage_id(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _covers_storage(tensor: Tensor) -> bool:
    return tensor.is_contiguous() and tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()


class PendingInit:
    """The initialiser calls that were recorded, by the storage they write to."""

    def __init__(self) -> None:
        self._calls: dict[int, list[_Call]] = {}
        self._aliases: dict[int, Tensor] = {}  # keeps each storage alive, so that its id stays unique

    def __len__(self) -> int:
        """Number of parameters with recorded calls."""
        return len(self._calls)

    def holds(self, tensor: Tensor) -> bool:
        """Whether calls are recorded for the memory of ``tensor``."""
        return _storage_id(tensor) in self._calls

    def record(self, tensor: Tensor, call: Callable[[Tensor], Any], *, overwrites: bool) -> None:
        """Remember ``call(tensor)``; one that overwrites all of the storage makes earlier ones void."""
        alias = tensor.detach()  # not the Parameter itself: its .data may be exchanged before the call runs
        key = _storage_id(alias)
        self._aliases.setdefault(key, alias)
        calls = self._calls.setdefault(key, [])
        if overwrites and _covers_storage(alias):
            calls.clear()
        calls.append(lambda: call(alias))

    def run(self, tensor: Tensor) -> None:
        """Run what is recorded for the memory of ``tensor``, if anything is."""
        calls = self._calls.pop(_storage_id(tensor), [])
        with torch.no_grad():
            for call in calls:
                call()
        self._aliases.pop(_storage_id(tensor), None)

    def materialize(self, model: nn.Module, names: Collection[str] | None = None) -> None:
        """Initialise the parameters ``names`` of ``model`` (default: all) and forget every other recorded call.

        Call it before weights are assigned: a parameter is recognised by the memory it got during construction.
        """
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if names is None or name in names:
                self.run(parameter)
        self._calls.clear()
        self._aliases.clear()


class _Recorder(TorchDispatchMode):
    def __init__(self, pending: PendingInit) -> None:
        super().__init__()
        self.pending = pending

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, options)) if isinstance(leaf, Tensor)]
        if len(tensors) == 1 and _writes_first_argument(func) and tensors[0] is args[0]:
            target = args[0]
            if isinstance(target, nn.Parameter) or self.pending.holds(target):
                overwrites = func._schema.name.removeprefix("aten::") in _OVERWRITING
                self.pending.record(target, lambda alias: func(alias, *args[1:], **options), overwrites=overwrites)
                return target
        if not _is_view(func):
            for tensor in tensors:
                self.pending.run(tensor)
        return func(*args, **options)


def _writes_first_argument(func: torch._ops.OpOverload) -> bool:
    """Whether `func` changes the values, not the shape or strides, of its first argument."""
    arguments = func._schema.arguments
    writes = bool(arguments) and arguments[0].alias_info is not None and arguments[0].alias_info.is_write
    return writes and torch.Tag.inplace_view not in func.tags


def _is_view(func: torch._ops.OpOverload) -> bool:
    aliases = [argument.alias_info for argument in func._schema.arguments if argument.alias_info is not None]
    return bool(aliases) and not any(alias.is_write for alias in aliases)


@contextmanager
def deferred_init() -> Iterator[PendingInit]:
    """Record, instead of run, the initialisation of parameters of the modules built in this context (and this thread).

    ``torch.nn.init.trunc_normal_`` of recent PyTorch draws until every value lies in the bounds, reading what it drew;
    the context exchanges that one function so that its whole call is recorded.
    """
    pending = PendingInit()
    original, owner = nn.init.trunc_normal_, threading.get_ident()

    def trunc_normal_(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if threading.get_ident() == owner and isinstance(tensor, nn.Parameter):
            pending.record(tensor, lambda alias: original(alias, *args, **kwargs), overwrites=True)
            return tensor
        return original(tensor, *args, **kwargs)

    nn.init.trunc_normal_ = trunc_normal_
    try:
        with _Recorder(pending):
            yield pending
    finally:
        nn.init.trunc_normal_ = original
