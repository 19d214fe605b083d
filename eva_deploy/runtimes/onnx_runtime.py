"""Run ONNX files with ONNX Runtime."""

from pathlib import Path

import numpy as np
import torch

from eva_backbone.errors import InputError

from ..formats.table import Run
from ..metadata import Metadata


def load_onnx(path: Path, metadata: Metadata, device: str) -> Run:
    """Return the function of an ONNX file; it uses as many threads as PyTorch.

    Args:
        path: The file.
        metadata: Its metadata.
        device: "auto" (CUDA if ONNX Runtime has it, else the CPU), "cpu" or "cuda".

    Raises:
        InputError: The file cannot be loaded, or the device not be used.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; warnings are about the assignment of operators to processors
    providers = _providers(onnxruntime.get_available_providers(), device)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # those of the runtime have no common class
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be loaded by ONNX Runtime ({reason}); export or download it again.") from error
    graph = metadata.graphs[metadata.graph]
    names, outputs = [item["name"] for item in graph["inputs"]], list(graph["outputs"])

    def run(arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
        found = session.run(outputs, dict(zip(names, arrays, strict=True)))
        return dict(zip(outputs, found, strict=True))

    return run


def _providers(available: list[str], device: str) -> list[str]:
    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    kind = device.partition(":")[0]
    if kind == "cpu" or (kind == "auto" and cuda not in available):
        return [cpu]
    if kind not in ("auto", "cuda"):
        raise InputError(f"device {device!r} is not one of ONNX Runtime; give auto, cpu or cuda.")
    if cuda not in available:
        raise InputError(f"device {device!r} needs the package onnxruntime-gpu; install it, or give cpu.")
    return [cuda, cpu]
