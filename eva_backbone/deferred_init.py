"""Build a large model without running its initialisers, and run them later for parameters that no checkpoint contains.

    with deferred_init() as pending:
        model = build()
    pending.materialize(model, missing)  # run the initialisers of the parameters that the checkpoint lacks
    ...                                  # then assign the weights of the checkpoint to the others

Inside the context, in-place operations on an ``nn.Parameter`` whose other arguments are numbers (``normal_``,
``uniform_``, ``fill_``, ``mul_``, ...) are recorded instead of run. The memory of the parameter is then reserved but
never written to, so the operating system never provides it: a billion parameters cost neither time nor memory. Buffers
are computed as usual.

Any other operation that reads such a parameter first runs its recorded initialisers, so the values seen during
construction are correct; this only loses the time that deferral would have saved. Limitations:

* Between the context and ``materialize``, pending parameters have arbitrary values; do not run or copy the model or
  move it to another device or dtype during that time.
* Reads that bypass PyTorch's dispatcher (``Tensor.numpy()``, ``data_ptr()``) during construction are not detected.
* Random numbers are drawn in a different order than without deferral: values are equal in distribution only.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# In-place operations whose result does not depend on the earlier content.
_OVERWRITING = {"fill_", "zero_", "normal_", "uniform_", "random_"}
_Call = Callable[[], Any]
_thread = threading.local()


def _storage_id(tensor: Tensor) -> int:
    # Views and `.data` of a parameter are other tensors, but share its storage.
    return tensor.untyped_storage()._cdata


def _covers_storage(tensor: Tensor) -> bool:
    return tensor.is_contiguous() and tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()


class PendingInit:
    """Recorded initialiser calls, by the storage that they write to."""

    def __init__(self) -> None:
        self._calls: dict[int, list[_Call]] = {}
        self._aliases: dict[int, Tensor] = {}  # keep each storage alive, so that its id is not reused

    def __len__(self) -> int:
        """Return the number of parameters with recorded calls."""
        return len(self._calls)

    def holds(self, tensor: Tensor) -> bool:
        """Return whether calls are recorded for the storage of ``tensor``."""
        return _storage_id(tensor) in self._calls

    def record(self, tensor: Tensor, call: Callable[[Tensor], Any], *, overwrites: bool) -> None:
        """Record ``call(tensor)``; a call that overwrites the whole storage replaces the earlier ones."""
        alias = tensor.detach()  # not the Parameter itself: its .data may be replaced before the call runs
        key = _storage_id(alias)
        self._aliases.setdefault(key, alias)
        calls = self._calls.setdefault(key, [])
        if overwrites and _covers_storage(alias):
            calls.clear()
        calls.append(lambda: call(alias))

    def run(self, tensor: Tensor) -> None:
        """Run the calls that are recorded for the storage of ``tensor``, if any."""
        calls = self._calls.pop(_storage_id(tensor), [])
        with torch.no_grad():
            for call in calls:
                call()
        self._aliases.pop(_storage_id(tensor), None)

    def materialize(self, model: nn.Module, names: Collection[str] | None = None) -> None:
        """Initialise the parameters ``names`` of ``model`` (default: all) and discard all other recorded calls.

        Call this before weights are assigned: a parameter is identified by the storage that it got during construction.
        """
        for name, parameter in model.named_parameters(remove_duplicate=False):
            if names is None or name in names:
                self.run(parameter)
        self._calls.clear()
        self._aliases.clear()


class _Recorder(TorchDispatchMode):
    """Record in-place initialisers of parameters, and run pending ones before any other operation that reads them."""

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
        # An operation with a second tensor (`copy_`, `add_` of a tensor) cannot be recorded: by the time it is run, the
        # other tensor may have changed.
        tensors = [leaf for leaf in tree_leaves((args, options)) if isinstance(leaf, Tensor)]
        if len(tensors) == 1 and _writes_first_argument(func) and tensors[0] is args[0]:
            target = args[0]
            if isinstance(target, nn.Parameter) or self.pending.holds(target):
                overwrites = func._schema.name.removeprefix("aten::") in _OVERWRITING
                self.pending.record(target, lambda alias: func(alias, *args[1:], **options), overwrites=overwrites)
                return target
        # A view reads no values. Initialisers often write through one, for example `weight.data` or `weight[:n]`.
        if not _is_view(func):
            for tensor in tensors:
                self.pending.run(tensor)
        return func(*args, **options)


def _writes_first_argument(func: torch._ops.OpOverload) -> bool:
    """Return whether `func` changes the values of its first argument, and not just its shape or strides."""
    arguments = func._schema.arguments
    if not arguments or arguments[0].alias_info is None:
        return False
    return arguments[0].alias_info.is_write and torch.Tag.inplace_view not in func.tags


def _is_view(func: torch._ops.OpOverload) -> bool:
    """Return whether the result of `func` shares memory with an argument that `func` does not write to."""
    aliases = [argument.alias_info for argument in func._schema.arguments if argument.alias_info is not None]
    return bool(aliases) and not any(alias.is_write for alias in aliases)


def is_deferring() -> bool:
    """Return whether this thread is in `deferred_init`: the weights of what it builds are assigned afterwards."""
    return getattr(_thread, "deferring", False)


@contextmanager
def deferred_init() -> Iterator[PendingInit]:
    """Record, instead of run, the initialisers of parameters of modules that this thread builds in this context.

    Recent versions of ``torch.nn.init.trunc_normal_`` draw again until all values lie within the bounds, and therefore
    read the values that they drew. This context replaces that function, so that the call as a whole is recorded.
    """
    pending = PendingInit()
    original = nn.init.trunc_normal_
    owner = threading.get_ident()  # other threads see the replacement too, and must get the original behaviour

    def trunc_normal_(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if threading.get_ident() == owner and isinstance(tensor, nn.Parameter):
            pending.record(tensor, lambda alias: original(alias, *args, **kwargs), overwrites=True)
            return tensor
        return original(tensor, *args, **kwargs)

    nn.init.trunc_normal_ = trunc_normal_
    _thread.deferring = True
    try:
        with _Recorder(pending):
            yield pending
    finally:
        _thread.deferring = False
        nn.init.trunc_normal_ = original
