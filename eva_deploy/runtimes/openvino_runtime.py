"""Run files of OpenVINO."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from eva_backbone.errors import InputError

from ..formats.table import Run
from ..metadata import Metadata

if TYPE_CHECKING:
    import openvino

# What the processor computes in. By default OpenVINO would compute in bfloat16 wherever the processor can.
_PRECISIONS = {"float32": "f32", "float16": "f32", "bfloat16": "bf16", "int8": "f32"}


@functools.cache
def openvino_core() -> "openvino.Core":
    """Return the only Core of this process, which lives until the process ends.

    A Core that loads the CPU plugin gives the thread an alternative signal stack, and when it is deleted, it frees that
    stack and restores the previous one. If two are deleted in the order of their creation, the restored stack is freed
    memory: the next signal, such as Ctrl-C or the end of a loader's worker process, kills the process or overwrites
    what is mapped there now.
    """
    import openvino

    return openvino.Core()


def load_openvino(path: Path, metadata: Metadata, device: str) -> Run:
    """Return the function of a file of OpenVINO; it uses as many threads as PyTorch.

    Args:
        path: The file.
        metadata: Its metadata.
        device: "auto" or "cpu".

    Raises:
        InputError: The file cannot be loaded, or the device not be used.
    """
    if device not in ("auto", "cpu"):
        raise InputError(f"device {device!r} is not used with OpenVINO here; give auto or cpu.")
    options = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": _PRECISIONS.get(metadata.dtype, "f32"),
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        core = openvino_core()
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
