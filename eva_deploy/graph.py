"""What a task hands over to be written to a file: modules with tensors in and tensors out, and their names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

# Types that all runtimes and NumPy have. A module of lower precision converts its inputs and outputs itself.
DTYPES = ("float32", "int64", "uint8", "bool")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class GraphInput:
    """An input of an exported graph.

    Attributes:
        name: Name of the tensor in the file.
        shape: Size along each axis; a text for a size that may vary, such as "batch" or "height". Axes with the same
            text have the same size.
        dtype: One of `DTYPES`.
        multiple_of: For an axis of varying size, the number of which its size must be a multiple, by text.
        largest: For an axis of varying size, its largest size, by text.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"
    multiple_of: Mapping[str, int] = field(default_factory=dict)
    largest: Mapping[str, int] = field(default_factory=dict)

    @property
    def has_any_batch(self) -> bool:
        """Whether the first axis, that of the batch, may have any size."""
        return isinstance(self.shape[0], str)


@dataclass(frozen=True)
class ExportGraph:
    """A module that is written to one file.

    Attributes:
        name: Name of the file without its suffix, such as "model" or "image_tower": small letters, digits, underscores.
        module: Module in evaluation mode; `forward` takes the inputs as positional arguments and returns a tensor, or a
            tuple with one tensor per name in `outputs`. The first axis of all inputs and outputs is the batch.
        inputs: Descriptions of the inputs.
        outputs: Names of the outputs.
        example: Inputs with which the module is traced; two samples in the batch if its size may vary.
    """

    name: str
    module: nn.Module
    inputs: tuple[GraphInput, ...]
    outputs: tuple[str, ...]
    example: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        """Raise ValueError if the parts do not fit together."""
        if not _NAME.fullmatch(self.name) or len(self.example) != len(self.inputs):
            raise ValueError(f"graph {self.name!r} needs a name of small letters and one example for each input")

    @property
    def description(self) -> dict[str, Any]:
        """What the metadata of the file says about the inputs and outputs."""
        inputs = [{"name": item.name, "shape": list(item.shape), "dtype": item.dtype} for item in self.inputs]
        return {"inputs": inputs, "outputs": list(self.outputs)}
