"""Run programs of `torch.export`, and those that are compiled to machine code."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eva_backbone.errors import InputError
from eva_engine.prediction.trained_model import pick_device

from ..formats.table import Run
from ..metadata import Metadata


def load_torch(path: Path, metadata: Metadata, device: str) -> Run:
    """Return the function of a program, whose file the user must trust: loading one can run any code.

    Args:
        path: The file.
        metadata: Its metadata.
        device: "auto" (CUDA if available, else the CPU) or the name of a torch device; a compiled program runs on the
            CPU.

    Raises:
        InputError: The file cannot be loaded, or the device not be used.
    """
    target = pick_device(device)
    try:
        program = _load_compiled(path) if is_compiled(path) else _load_program(path, target)
    except Exception as error:  # damaged archives make the loader raise nearly any exception
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be loaded by PyTorch ({reason}); export or download it again.") from error
    outputs = list(metadata.graphs[metadata.graph]["outputs"])
    if is_compiled(path):
        target = torch.device("cpu")

    def run(arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            found = program(*(torch.from_numpy(array).to(target) for array in arrays))
        return {name: value.cpu().numpy() for name, value in zip(outputs, found, strict=True)}

    return run


def is_compiled(path: Path) -> bool:
    """Return whether an archive has machine code in place of a program."""
    with zipfile.ZipFile(path) as archive:
        return any("/data/aotinductor/" in name for name in archive.namelist())


def _load_program(path: Path, device: torch.device) -> Callable[..., Any]:
    from torch.export.passes import move_to_device_pass

    program = torch.export.load(path)
    if device.type != "cpu":
        program = move_to_device_pass(program, device)
    return program.module()


def _load_compiled(path: Path) -> Callable[..., Any]:
    return torch._inductor.aoti_load_package(str(path))
