"""The table of the formats."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eva_backbone.errors import InputError

from ..metadata import Metadata

if TYPE_CHECKING:
    import numpy as np

# Arrays in the order of the graph's inputs -> arrays by the names of its outputs.
Run = Callable[[list["np.ndarray"]], dict[str, "np.ndarray"]]


@dataclass(frozen=True)
class Format:
    """A format of exported files; functions are references, "module:name", because their modules import a runtime.

    Attributes:
        suffix: End of the file names.
        read: Function that returns the entry of metadata in a file, or None.
        load: Function that returns the graph of a file as a function of arrays.
        packages: Packages that are needed to write and run a file.
        extra: Extra of this project that installs them; "" if it always has them.
        dtypes: Types of weights that the runtime computes with on the CPU.
    """

    suffix: str
    read: str
    load: str
    packages: tuple[str, ...]
    extra: str
    dtypes: tuple[str, ...]


FORMATS = {
    "onnx": Format(
        ".onnx",
        "eva_deploy.formats.onnx_format:read_onnx_metadata",
        "eva_deploy.runtimes.onnx_runtime:load_onnx",
        ("onnx", "onnxscript", "onnxruntime"),
        "export",
        ("float32", "float16"),
    ),
    "openvino": Format(
        ".xml",
        "eva_deploy.formats.openvino_format:read_openvino_metadata",
        "eva_deploy.runtimes.openvino_runtime:load_openvino",
        ("onnx", "onnxscript", "openvino"),
        "export,openvino",
        ("float32", "float16", "bfloat16"),
    ),
    "torch": Format(
        ".pt2",
        "eva_deploy.formats.torch_format:read_torch_metadata",
        "eva_deploy.runtimes.torch_runtime:load_torch",
        (),
        "",
        ("float32", "float16", "bfloat16"),
    ),
}


def read_metadata(path: Path) -> Metadata:
    """Return the metadata of an exported file; nothing in it is executed.

    Raises:
        InputError: The file is damaged or was not exported by this project, or by another version of it.
    """
    name = next(name for name, entry in FORMATS.items() if entry.suffix == path.suffix.lower())
    text = _resolve(FORMATS[name].read)(path)
    if text is None:
        raise InputError(
            f"{path} has no metadata of EVA Vision, so its model is unknown; give a file that export-model wrote."
        )
    metadata = Metadata.from_json(text, path)
    if metadata.format != name:
        raise InputError(f"the metadata of {path} is that of a file of the format {metadata.format}; export it again.")
    return metadata


def load_graph(path: Path, metadata: Metadata, device: str) -> Run:
    """Return the graph of an exported file as a function of arrays.

    Raises:
        InputError: The file cannot be loaded, the device not be used, or the runtime is not installed.
    """
    entry = FORMATS[metadata.format]
    runtime = {"onnx": "onnxruntime", "openvino": "openvino"}.get(metadata.format)
    if runtime is not None:
        _require_packages(f"running {path}", (runtime,), entry.extra)
    return _resolve(entry.load)(path, metadata, device)


def check_packages(format_name: str, *further: str) -> None:
    """Check that the packages which write and run a format are installed, and further packages of the same extra.

    Raises:
        InputError: They are not.
    """
    entry = FORMATS[format_name]
    _require_packages(f"the format {format_name}", (*entry.packages, *further), entry.extra)


def _require_packages(purpose: str, packages: tuple[str, ...], extra: str) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise InputError(
            f"{purpose} needs {', '.join(missing)}, which is not installed: run pip install '.[{extra}]' in the folder "
            "of EVA Vision."
        )


def _resolve(reference: str) -> Callable[..., Any]:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
