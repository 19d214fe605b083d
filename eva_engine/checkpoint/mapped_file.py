"""Give memory of a mapped weight file back to the system as soon as its values have been copied."""

import ctypes
import mmap
import os
from pathlib import Path

from torch import Tensor

_MAPS = Path("/proc/self/maps")


class MappedFile:
    """The private memory mappings of a file in this process; there are none on other systems than Linux.

    Pages of a mapping that have been read count as memory of the process until the mapping ends, which it does not
    while one of its tensors is used.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._ranges: list[range] = []
        if not _MAPS.exists():
            return
        name = os.path.realpath(path)
        for line in _MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[5] == name and fields[1].endswith("p"):
                first, last = (int(address, 16) for address in fields[0].split("-"))
                self._ranges.append(range(first, last))

    def forget(self, tensor: Tensor) -> None:
        """Give back the pages of `tensor`, if it is in the file; they are read again when they are used.

        Values that were written to the tensor after it was read are lost.
        """
        first = tensor.untyped_storage().data_ptr()
        last = first + tensor.untyped_storage().nbytes()
        if any(first in mapping and last - 1 in mapping for mapping in self._ranges):
            first -= first % mmap.PAGESIZE
            libc = ctypes.CDLL(None)
            libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), mmap.MADV_DONTNEED)
