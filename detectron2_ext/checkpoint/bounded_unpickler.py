"""An unpickler whose memory is bounded by the size of what it reads."""

import pickle
from collections.abc import Callable
from typing import Any, ClassVar


class UnsafePickleError(pickle.UnpicklingError):
    """The pickle asks for a class or function that is not among the allowed ones; `global_name` is its dotted name."""

    def __init__(self, global_name: str) -> None:
        super().__init__(f"needs {global_name}")
        self.global_name = global_name


# The unpickler written in Python: the one in C lets a file of a few bytes reserve gigabytes for its memo table.
class BoundedUnpickler(pickle._Unpickler):
    """Base class; a subclass says in `find_class` which classes and functions a pickle may name."""

    read: Callable[[int], bytes]
    append: Callable[[Any], None]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def load_bytearray8(self) -> None:
        """The bytes that are there: Python's own method reserves as many as the pickle announces before it reads."""
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
