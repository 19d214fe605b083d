"""Write the graphs of a model as files of a format, with their metadata."""

import copy
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eva_backbone.errors import InputError
from eva_engine.config.config_file import config_text
from eva_engine.disk_space import require_disk_space
from eva_engine.inference_precision import DTYPES, InferencePrecision, convert_for_inference
from eva_engine.prediction.predictor import Predictor
from eva_engine.tasks import Task

from .formats.onnx_format import OPSET, write_onnx
from .formats.openvino_format import write_openvino
from .formats.table import FORMATS
from .formats.torch_format import write_torch
from .graph import ExportGraph
from .metadata import Metadata
from .opening import task_export
from .task_export import ExportOptions
from .tracing import trace

if TYPE_CHECKING:
    from torch.export import ExportedProgram


@dataclass(frozen=True)
class Source:
    """A model that is exported.

    Attributes:
        predictor: Its predictor, with float32 weights on the CPU.
        cfg: Its recipe, which is stored in the files.
        task: Its task.
    """

    predictor: Predictor[Any, Any]
    cfg: Any
    task: Task


def write_model(
    source: Source, format_name: str, folder: Path, options: ExportOptions, *, compiled: bool = False
) -> list[Path]:
    """Write the model to a folder: a file for each graph, and files of their weights where the format has them.

    The files appear when all of them are complete.

    Args:
        source: The model.
        format_name: "onnx", "openvino" or "torch".
        folder: Folder, which is created if it is missing.
        options: Sizes and type.
        compiled: For "torch": compile the program to machine code for this processor.

    Returns:
        The files; the first one is that of the first graph.

    Raises:
        InputError: The task does not have the format, the format does not have the type, or the model cannot be
            exported with these options.
    """
    export = task_export(source.task)
    if format_name not in export.formats:
        raise InputError(
            f"models for {source.task.name} cannot be exported as {format_name}; choose one of "
            f"{', '.join(export.formats)}."
        )
    if options.dtype not in FORMATS[format_name].dtypes:
        raise InputError(
            f"{format_name} has no {options.dtype} on the CPU, so the file could not be compared with the original; "
            f"choose one of {', '.join(FORMATS[format_name].dtypes)}."
        )
    # OpenVINO converts the weights itself.
    predictor = source.predictor if format_name == "openvino" else _in_precision(source.predictor, options.dtype)
    graphs = export.graphs(predictor, options)
    descriptions = {graph.name: graph.description for graph in graphs}
    settings = export.settings(predictor, options)
    recipe = config_text(_portable(source.cfg))
    folder.mkdir(parents=True, exist_ok=True)
    num_bytes = 0
    for graph in graphs:
        num_bytes += sum(parameter.nbytes for parameter in graph.module.parameters())
    if format_name == "openvino":
        num_bytes *= 2  # with the ONNX file that it is made of
    require_disk_space(folder / "model", num_bytes, "give another --output")
    written: list[Path] = []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".export.") as temporary:
        for graph in graphs:
            metadata = Metadata(
                task=source.task.name,
                format=format_name,
                dtype=options.dtype,
                graph=graph.name,
                graphs=descriptions,
                class_names=tuple(predictor.class_names),
                settings=settings,
                recipe=recipe,
                project=version("eva-vision"),
                details=_details(format_name, graph),
            )
            path = Path(temporary, graph.name + FORMATS[format_name].suffix)
            written += _write(format_name, trace(graph), graph, metadata, path, compiled)
        for path in written:
            os.replace(path, folder / path.name)
    return [folder / path.name for path in written]


def _write(
    format_name: str, program: "ExportedProgram", graph: ExportGraph, metadata: Metadata, path: Path, compiled: bool
) -> list[Path]:
    if format_name == "torch":
        return write_torch(program, metadata, path, compiled=compiled)
    if format_name == "onnx":
        return write_onnx(program, graph, metadata, path)
    import openvino

    # By way of ONNX: the operators that both have are tested once.
    onnx_path = path.with_name(f"{graph.name}.temporary.onnx")
    onnx_files = write_onnx(program, graph, None, onnx_path)
    files = write_openvino(
        openvino.convert_model(onnx_path), metadata, path, compress_to_fp16=metadata.dtype == "float16"
    )
    for file in onnx_files:
        file.unlink()
    return files


def _in_precision(predictor: Predictor[Any, Any], dtype: str) -> Predictor[Any, Any]:
    """Return a predictor whose model has weights in `dtype`; that of the given one stays as it is."""
    if dtype == "float32":
        return predictor
    converted = copy.copy(predictor)
    converted.model = copy.deepcopy(predictor.model)
    convert_for_inference(converted.model, InferencePrecision(DTYPES[dtype], DTYPES[dtype]))
    return converted


def _portable(cfg: Any) -> Any:
    """Return the recipe without the files of this machine that no use of the exported model needs."""
    portable = copy.deepcopy(cfg)
    portable.train.init_checkpoint = ""
    portable.train.output_dir = "output/exported"
    return portable


def _details(format_name: str, graph: ExportGraph) -> Mapping[str, Any]:
    import torch

    details: dict[str, Any] = {"parameters": sum(value.numel() for value in graph.module.parameters())}
    if format_name != "torch":
        details["opset"] = OPSET
    packages: Sequence[str] = {"onnx": ("torch", "onnx"), "openvino": ("torch", "onnx", "openvino")}.get(
        format_name, ("torch",)
    )
    for package in packages:
        details[package] = torch.__version__ if package == "torch" else version(package)
    return details
