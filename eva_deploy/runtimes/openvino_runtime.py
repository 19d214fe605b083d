"""Run files of OpenVINO."""

from pathlib import Path

import numpy as np
import torch

from eva_backbone.errors import InputError

from ..formats.table import Run
from ..metadata import Metadata

# What the processor computes in. By default OpenVINO would compute in bfloat16 wherever the processor can.
_PRECISIONS = {"float32": "f32", "float16": "f32", "bfloat16": "bf16", "int8": "f32"}


def load_openvino(path: Path, metadata: Metadata, device: str) -> Run:
    """Return the function of a file of OpenVINO; it uses as many threads as PyTorch.

    Args:
        path: The file.
        metadata: Its metadata.
        device: "auto" or "cpu".

    Raises:
        InputError: The file cannot be loaded, or the device not be used.
    """
    import openvino

    if device not in ("auto", "cpu"):
        raise InputError(f"device {device!r} is not used with OpenVINO here; give auto or cpu.")
    options = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": _PRECISIONS.get(metadata.dtype, "f32"),
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(path), "CPU", options)
    except Exception as error:  # those of the runtime have no common class
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be loaded by OpenVINO ({reason}); export or download it again.") from error
    graph = metadata.graphs[metadata.graph]
    names, outputs = [item["name"] for item in graph["inputs"]], list(graph["outputs"])

    def run(arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
        found = compiled(dict(zip(names, arrays, strict=True)))
        return {name: np.array(found[name]) for name in outputs}

    return run
