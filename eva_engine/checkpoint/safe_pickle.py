"""Unpickle files from untrusted sources: no code runs, and memory and time stay in proportion to the file."""

import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from torch import Tensor

# A checkpoint of a run with a thousand parameters needs 300,000 reads.
_MAX_READS = 2_000_000
_MAX_VALUES = 10_000_000
_MAX_DEPTH = 50
_MAX_KEY_ITEMS, _MAX_KEY_BITS, _MAX_GLOBAL = 16, 64, 100


class UnsafePickleError(pickle.UnpicklingError):
    """The pickle refers to classes or functions that are not allowed; the message is a list of their names."""


class Stub:
    """Stands for an object of a class that is not used; subclasses keep what is needed of it."""

    def __init__(self, *_: Any) -> None:
        pass

    def set_state(self, state: Any) -> None:
        """Take the state of the object; ignored by default."""


# The unpickler in Python. The one in C, like torch's for weights only, lets a file of a few bytes allocate gigabytes,
# hash nested tuples for ever, and replace attributes of the objects that stand for its classes.
class SafeUnpickler(pickle._Unpickler):
    """Base class of the unpicklers of all formats; subclasses define in `allowed` what a pickle may call.

    Only dictionaries have items, only a `Stub` has a state, sets become lists, and the work is bounded: the number of
    reads, and the number of items and characters that are passed to functions. `load` raises UnsafePickleError if the
    pickle refers to anything for which `allowed` returns None.

    Args:
        file: File with the pickle, or a memory mapping of it.
        num_bytes: Size of the file.
        encoding: Encoding of text that Python 2 has pickled.
    """

    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: Any, num_bytes: int, encoding: str = "utf-8") -> None:
        super().__init__(file, encoding=encoding)
        self._read_file, self._reads_left, self._passed_left = file.read, _MAX_READS, 4 * num_bytes + 1_000_000
        self._num_bytes, self._file_read = num_bytes, self._counted_read
        self._unsafe: set[str] = set()

    def allowed(self, module: str, name: str) -> Any:
        """Return the replacement of a class or function; None if it is not allowed."""
        raise NotImplementedError

    def find_class(self, module: str, name: str) -> Any:
        """Return what `allowed` returns, or a class that does nothing."""
        found = self.allowed(module, name)
        if found is None:
            self._unsafe.add(f"{module}.{name}"[:_MAX_GLOBAL])
            return Stub
        return found

    def load(self) -> Any:
        """Return the content of the pickle; a second call is not possible."""
        unsafe = self._unsafe
        try:
            content = super().load()
        except Exception:
            if not unsafe:
                raise
        finally:
            vars(self).clear()  # the unpickler refers to itself, which would keep the file mapped for a while
        if unsafe:
            raise UnsafePickleError(", ".join(sorted(unsafe)[:4]))
        return content

    def _counted_read(self, size: int) -> bytes:
        self._reads_left -= 1
        if self._reads_left < 0:
            raise pickle.UnpicklingError("more values than weights and their training need")
        return self._read_file(min(size, self._num_bytes))  # a file allocates what it is asked for before it reads

    def _pass_on(self, values: Iterable) -> None:
        """Count what a function copies: a pickle can pass the same large value to it any number of times."""
        for value in values:
            self._passed_left -= 1 + (len(value) if isinstance(value, str | bytes | tuple | list | dict) else 0)
            if self._passed_left < 0:
                raise pickle.UnpicklingError("values that are used too often")

    def load_frame(self) -> None:
        """Skip the size of a frame, which only serves buffering."""
        self.read(8)

    def load_bytearray8(self) -> None:
        """Load the bytes that the file has; Python's method allocates the number that the pickle claims first."""
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))

    def load_reduce(self) -> None:
        """Call a function or create an object."""
        arguments = self.stack.pop()
        if type(arguments) is not tuple:
            raise pickle.UnpicklingError("arguments that are not a tuple")
        self._pass_on(arguments)
        self.stack[-1] = self.stack[-1](*arguments)

    def load_build(self) -> None:
        """Set the state of a stub; the attributes of other objects are ignored."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Stub):
            self._pass_on([state])
            target.set_state(state)

    def load_setitem(self) -> None:
        """Set one item of a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def load_setitems(self) -> None:
        """Set several items of a dictionary."""
        self._set_items(self.pop_mark())

    def load_dict(self) -> None:
        """Create a dictionary with items."""
        items = self.pop_mark()
        self.append({})
        self._set_items(items)

    def _set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict:
            raise pickle.UnpicklingError(f"items of a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_checked_key(key)] = value

    for _opcode, _method in (
        (pickle.FRAME, load_frame),
        (pickle.BYTEARRAY8, load_bytearray8),
        (pickle.REDUCE, load_reduce),
        (pickle.NEWOBJ, load_reduce),
        (pickle.BUILD, load_build),
        (pickle.SETITEM, load_setitem),
        (pickle.SETITEMS, load_setitems),
        (pickle.DICT, load_dict),
        (pickle.EMPTY_SET, dispatch[pickle.EMPTY_LIST[0]]),
        (pickle.ADDITEMS, dispatch[pickle.APPENDS[0]]),
        (pickle.FROZENSET, dispatch[pickle.LIST[0]]),
    ):
        dispatch[_opcode[0]] = _method
    # LONG4 is a number of more than 600 digits.
    for _opcode in (pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.LONG4):
        del dispatch[_opcode[0]]


def new_dict(pairs: Any = ()) -> dict:
    """Return a dictionary for one of a subclass, such as OrderedDict; Python 2 passes its items as pairs."""
    result = {}
    for key, value in pairs:
        result[_checked_key(key)] = value
    return result


def _checked_key(key: Any) -> Any:
    """Return a key of a dictionary; raise an error if its hash could take long to compute."""
    items = key if isinstance(key, tuple) else (key,)
    nested = any(isinstance(item, tuple | frozenset) for item in items)
    if nested or len(items) > _MAX_KEY_ITEMS:
        raise pickle.UnpicklingError("a nested key")
    if any(isinstance(item, int) and item.bit_length() > _MAX_KEY_BITS for item in items):
        raise pickle.UnpicklingError("a number of many digits as a key")
    return key


def check_content(content: Any, num_bytes: int) -> None:
    """Check that functions which visit every value of a file and read every tensor do so in proportion to its size.

    A file can refer to a container any number of times. Written out, two containers in each other's place for every
    level of nesting are 2^n values, and tensors of zero strides or on common memory are any number of bytes.

    Args:
        content: What was read from the file: dictionaries, lists, tuples, tensors and other values.
        num_bytes: Size of the file.

    Raises:
        ValueError: Too many values or bytes, nested too deeply, or a container that contains itself.
    """
    _Measure(num_bytes).of(content, "", _MAX_DEPTH)


class _Measure:
    def __init__(self, num_bytes: int) -> None:
        self._num_bytes = num_bytes
        self._known: dict[int, tuple[int, int] | None] = {}  # by id; None while a container is being visited

    def of(self, value: Any, name: Any, depth: int) -> tuple[int, int]:
        """Return the number of values and the bytes of tensors in `value`, written out."""
        if isinstance(value, Tensor):
            return 1, self._tensor_bytes(value, name)
        if not isinstance(value, Mapping | list | tuple):
            return 1, 0
        if id(value) not in self._known:
            if depth == 0:
                raise ValueError(f"its values are nested more than {_MAX_DEPTH} levels deep")
            self._known[id(value)] = None
            num_values = total_bytes = 1
            for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
                more_values, more_bytes = self.of(item, key, depth - 1)
                num_values, total_bytes = num_values + more_values, total_bytes + more_bytes
            if num_values > _MAX_VALUES:
                raise ValueError(f"its containers refer to each other so often that they are {num_values:,} values")
            if total_bytes > 8 * self._num_bytes:
                raise ValueError("its tensors share memory, and need more than 8 times the bytes that the file has")
            self._known[id(value)] = num_values, total_bytes
        known = self._known[id(value)]
        if known is None:
            raise ValueError("a container contains itself")
        return known

    def _tensor_bytes(self, value: Tensor, name: Any) -> int:
        if value.nbytes > self._num_bytes:  # zero strides can repeat a few stored bytes any number of times
            raise ValueError(
                f"entry {str(name)[:100]} has shape {tuple(value.shape)}, which needs more bytes than the file has"
            )
        return value.nbytes
