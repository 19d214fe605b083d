"""8 bits: quantise the weights and activations of a model of OpenVINO with NNCF, with ranges from real images."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eva_engine.prediction.inputs import Input
from eva_engine.prediction.predictor import Predictor

from .exported_model import recording
from .formats.openvino_format import write_openvino
from .formats.table import read_metadata
from .runtimes.openvino_runtime import openvino_core
from .task_export import TaskExport

if TYPE_CHECKING:
    import numpy as np

INT8 = "int8"
MAX_INPUTS = 64  # of which all arrays are in memory


def quantize(export: TaskExport, exported: Predictor[Any, Any], inputs: Sequence[Input]) -> None:
    """Replace the files of an exported model of OpenVINO with those of the same model in 8 bits.

    Args:
        export: Exports of the task.
        exported: Predictor with the files, in float32.
        inputs: Images or videos, from which the ranges of the activations are taken.

    Raises:
        InputError: An image cannot be read.
    """
    recorded: dict[Path, list[list[np.ndarray]]] = {}
    with recording(lambda path, arrays: recorded.setdefault(path, []).append(arrays)):
        for item in inputs[:MAX_INPUTS]:
            export.run(exported, [exported.read(item)])
    for file, samples in recorded.items():
        quantize_file(file, samples)


def quantize_file(file: Path, samples: "Sequence[list[np.ndarray]]") -> None:
    """Replace a file of OpenVINO, and that of its weights, with the same model in 8 bits.

    Args:
        file: The file with the graph.
        samples: Inputs of the graph, from which the ranges of the activations are taken.
    """
    import nncf

    metadata = read_metadata(file)
    # NNCF prints its progress, but standard output is for the result of a command.
    with redirect_stdout(sys.stderr):
        model = nncf.quantize(
            openvino_core().read_model(file),
            nncf.Dataset(samples),
            subset_size=len(samples),
            model_type=nncf.ModelType.TRANSFORMER,
        )
    partial = file.with_name(f"partial_{file.name}")
    for path in write_openvino(model, replace(metadata, dtype=INT8), partial, compress_to_fp16=False):
        path.replace(path.with_name(path.name.removeprefix("partial_")))
