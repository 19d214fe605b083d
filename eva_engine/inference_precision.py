"""Precision at inference: hold the weights of a model in float32, bfloat16 or float16.

On a device that computes in the type of the weights, parameters are converted, buffers are not: running statistics,
statistics of pixels and anchors keep their type. So do parameters of batch norms, which PyTorch applies in float32 to
inputs of any type, and the parts that a model names:

    class Classifier(VisionTransformer):
        float32_parts = ("head",)

`float32_parts` of any module in the model are names of parameters or submodules, relative to that module and with dots,
of which some may be missing; those of base classes count, too. Linear and convolutional layers of a converted model
cast their input to the type of their weight, which is all that the borders between the types need.

On a processor without instructions for the type, products in it would take 8 to 250 times as long as in float32. There
the type is that of the weights alone, and all is computed in float32; see `weight_only`.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from eva_backbone.errors import check_choice

from .weight_only import hold_weights

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CPU_FLAGS = Path("/proc/cpuinfo")
# Flags of x86 and ARM processors with instructions that multiply matrices or vectors of a type.
_BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16", "bf16"})
_FLOAT16_FLAGS = frozenset({"amx_fp16", "avx512_fp16", "asimdhp"})
_MANY_PARAMETERS = 200_000_000


@dataclass(frozen=True)
class InferencePrecision:
    """The types of a model at inference.

    Attributes:
        weights: Type in which parameters are held.
        arithmetic: Type in which layers multiply: that of the weights, or float32.
    """

    weights: torch.dtype
    arithmetic: torch.dtype

    def __str__(self) -> str:
        weights, arithmetic = (str(dtype).removeprefix("torch.") for dtype in (self.weights, self.arithmetic))
        return f"weights in {weights}" + (f", computing in {arithmetic}" if arithmetic != weights else "")


FLOAT32 = InferencePrecision(torch.float32, torch.float32)


def choose_precision(name: str, device: torch.device) -> InferencePrecision:
    """Return the precision called `name` on a device, or for "auto" the one that suits the device.

    "auto" is bfloat16 on devices with instructions for it (GPUs since NVIDIA's Ampere, processors with AMX or
    AVX512_BF16), float16 on older CUDA GPUs, and float32 elsewhere.

    Args:
        name: "float32", "bfloat16", "float16" or "auto".
        device: Device of the model.

    Raises:
        InputError: The name is unknown.
    """
    check_choice("dtype", name, (*DTYPES, "auto"))
    if name == "auto":
        if has_instructions(device, torch.bfloat16):
            name = "bfloat16"
        else:
            name = "float16" if device.type == "cuda" else "float32"
    dtype = DTYPES[name]
    if device.type == "cpu" and not has_instructions(device, dtype):
        return InferencePrecision(dtype, torch.float32)
    return InferencePrecision(dtype, dtype)


def has_instructions(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether a CPU or CUDA device has instructions that multiply matrices of the type."""
    if dtype == torch.float32:
        return True
    if device.type == "cuda":
        return dtype == torch.float16 or torch.cuda.get_device_capability(device) >= (8, 0)
    flags = _BFLOAT16_FLAGS if dtype == torch.bfloat16 else _FLOAT16_FLAGS
    return device.type == "cpu" and not flags.isdisjoint(_cpu_flags())


def _cpu_flags() -> set[str]:
    """Return the flags of the processor; none where the system does not list them, as on macOS and Windows."""
    flags: set[str] = set()
    if _CPU_FLAGS.exists():
        for line in _CPU_FLAGS.read_text(encoding="utf-8", errors="replace").splitlines():
            name, _, values = line.partition(":")
            if name.strip() in ("flags", "Features"):
                flags.update(values.split())
    return flags


def convert_for_inference(model: nn.Module, precision: InferencePrecision) -> None:
    """Convert the parameters of a model in place, one at a time, except for those that it keeps in float32.

    The parameter objects and their names stay the same. With float32, nothing is changed. To be called once; the model
    can no longer be trained.
    """
    if precision.weights == torch.float32:
        return
    kept = {id(parameter) for parameter in _float32_parameters(model)}
    if precision.arithmetic != precision.weights:
        hold_weights(model, precision.weights, kept)
        return
    for parameter in model.parameters():
        if parameter.is_floating_point() and id(parameter) not in kept:
            parameter.data = parameter.data.to(precision.weights)
    for module in model.modules():
        if isinstance(module, nn.Linear | _ConvNd):
            module.register_forward_pre_hook(_cast_input)


def _float32_parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            yield from module.parameters()
        for base in type(module).__mro__:
            for path in vars(base).get("float32_parts", ()):
                part = _find(module, path)
                if isinstance(part, nn.Parameter):
                    yield part
                elif isinstance(part, nn.Module):
                    yield from part.parameters()


def _find(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name, None)
    return module


def _cast_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    first, *others = inputs
    return (first.to(layer.weight.dtype), *others)


def log_what_bfloat16_saves(model: nn.Module, device: torch.device) -> None:
    """Log one line if the model is large, is in float32, and would be faster in bfloat16 on this device."""
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    if num_parameters < _MANY_PARAMETERS or not has_instructions(device, torch.bfloat16):
        return
    logger.info(
        "In bfloat16 (--dtype bfloat16), the weights would take %.1f GB instead of %.1f GB, and this %s would compute "
        "faster",
        2e-9 * num_parameters,
        4e-9 * num_parameters,
        "GPU" if device.type == "cuda" else "processor",
    )
