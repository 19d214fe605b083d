"""8 bits: quantise the weights and activations of a model of OpenVINO with NNCF, with ranges from real images."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eva_engine.prediction.inputs import Input
from eva_engine.prediction.predictor import Predictor

from .formats.openvino_format import write_openvino
from .formats.table import Run, read_metadata
from .opening import open_graphs
from .task_export import TaskExport

if TYPE_CHECKING:
    import numpy as np

INT8 = "int8"
MAX_INPUTS = 64  # of which all arrays are in memory


def quantize_files(
    files: Sequence[Path], export: TaskExport, original: Predictor[Any, Any], cfg: Any, inputs: Sequence[Input]
) -> None:
    """Replace each graph of an exported model of OpenVINO with one in 8 bits.

    Args:
        files: Files of the model, in float32.
        export: Exports of the task.
        original: Predictor that reads the images.
        cfg: Recipe of the model.
        inputs: Images or videos, from which the ranges of the activations are taken.

    Raises:
        InputError: An image cannot be read.
    """
    import nncf
    import openvino

    graphs = [file for file in files if file.suffix == ".xml"]
    recorded = _record(graphs[0], export, original, cfg, inputs)
    for file in graphs:
        metadata = replace(read_metadata(file), dtype=INT8)
        samples = recorded[metadata.graph]
        model = nncf.quantize(
            openvino.Core().read_model(file),
            nncf.Dataset(samples),
            subset_size=len(samples),
            model_type=nncf.ModelType.TRANSFORMER,
        )
        partial = file.with_name(f"partial_{file.name}")
        for path in write_openvino(model, metadata, partial, compress_to_fp16=False):
            path.replace(path.with_name(path.name.removeprefix("partial_")))


def _record(
    path: Path, export: TaskExport, original: Predictor[Any, Any], cfg: Any, inputs: Sequence[Input]
) -> dict[str, list[dict[str, "np.ndarray"]]]:
    """Predict on images with the exported model, and return the inputs of each graph by name."""
    metadata = read_metadata(path)
    recorded: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in metadata.graphs}

    def recording(name: str, run: Run) -> Run:
        names = [item["name"] for item in metadata.graphs[name]["inputs"]]

        def record(arrays: "list[np.ndarray]") -> "dict[str, np.ndarray]":
            recorded[name].append(dict(zip(names, arrays, strict=True)))
            return run(arrays)

        return record

    exported = open_graphs(path, metadata, "cpu", recording)
    predictor = copy.copy(original)
    predictor.model = export.stand_in(exported, cfg).eval()
    for item in inputs[:MAX_INPUTS]:
        # Comparing runs all graphs, and that is all it is for here.
        export.compare(predictor, predictor, [original.read(item)])
    return recorded
