"""An exported model that is opened: its metadata, and its graphs as functions of tensors."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eva_backbone.errors import InputError

from .formats.table import Run
from .metadata import Metadata

Record = Callable[[Path, list[np.ndarray]], None]
_record: ContextVar[Record | None] = ContextVar("record", default=None)


@contextmanager
def recording(record: Record) -> Iterator[None]:
    """Call `record(path, inputs)` before each run of an exported graph in this context."""
    token = _record.set(record)
    try:
        yield
    finally:
        _record.reset(token)


class GraphFunction:
    """A graph of an exported file as a function of tensors.

    Args:
        run: Function of a runtime.
        inputs: Descriptions of the inputs in the metadata: name, shape, dtype.
        path: File, for messages.

    Attributes:
        shapes: Shape of each input; a text for a size that may vary.
    """

    def __init__(self, run: Run, inputs: list[dict[str, Any]], path: Path) -> None:
        self._run, self._path = run, path
        self.shapes: list[tuple[int | str, ...]] = [tuple(item["shape"]) for item in inputs]
        self._dtypes = [np.dtype(item["dtype"]) for item in inputs]
        first = self.shapes[0][0]
        self._batch_size = first if isinstance(first, int) else None

    def __call__(self, *tensors: Tensor) -> dict[str, Tensor]:
        """Return the outputs by name, on the CPU, for inputs whose first axis is the batch, of any size.

        Raises:
            InputError: An input has another shape than the file takes.
        """
        arrays = []
        for tensor, shape, dtype in zip(tensors, self.shapes, self._dtypes, strict=True):
            self._check(tuple(tensor.shape), shape)
            arrays.append(np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=dtype))
        size = self._batch_size
        if size is None or len(arrays[0]) == size:
            return self._run_batch(arrays)
        # A file with a fixed batch size: several runs, of which the last one is filled up with its last sample.
        total = len(arrays[0])
        parts = []
        for start in range(0, total, size):
            index = np.minimum(np.arange(start, start + size), total - 1)
            parts.append(self._run_batch([array[index] for array in arrays]))
        outputs = {}
        for name in parts[0]:
            outputs[name] = torch.cat([part[name] for part in parts])[:total]
        return outputs

    def _run_batch(self, arrays: list[np.ndarray]) -> dict[str, Tensor]:
        record = _record.get()
        if record is not None:
            record(self._path, arrays)
        outputs = self._run(arrays)
        return {name: torch.from_numpy(np.ascontiguousarray(output)) for name, output in outputs.items()}

    def _check(self, given: tuple[int, ...], shape: tuple[int | str, ...]) -> None:
        fits = len(given) == len(shape)
        for size, expected in zip(given[1:], shape[1:], strict=False):
            fits = fits and (isinstance(expected, str) or size == expected)
        if not fits:
            raise InputError(
                f"{self._path} takes inputs of shape {_text(shape)}, this one is {_text(given)}; export the model for "
                "this size, or with --dynamic-size."
            )


@dataclass(frozen=True)
class ExportedModel:
    """An exported model that is opened.

    Attributes:
        path: File that the user named.
        metadata: Its metadata.
        graphs: Its graphs by name.
    """

    path: Path
    metadata: Metadata
    graphs: Mapping[str, GraphFunction]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Values of the task, see `TaskExport.settings`."""
        return self.metadata.settings


def _text(shape: tuple[int | str, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]"
