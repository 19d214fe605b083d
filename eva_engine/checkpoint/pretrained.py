"""Build a model with the weights of a file, for the `create_*` functions of all tasks."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from eva_backbone.errors import InputError

from .loading import build_and_load

Model = TypeVar("Model", bound=nn.Module)


def build_pretrained(
    build: Callable[[], Model],
    weights: str | os.PathLike | None,
    *,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    strict: bool = True,
) -> Model:
    """Build a model in evaluation mode, with the weights of a file or random ones.

    Args:
        build: Function that builds the model. Initialisers of parameters that the file has are not run.
        weights: Weight file of any layout that `load_checkpoint` reads, or the name of a published one; None for random
            weights.
        device: Device of the model; None for the one that `build` uses, normally the CPU.
        dtype: Dtype of the parameters. Weights of the same dtype are memory-mapped instead of copied.
        strict: Raise an error unless the file has exactly the entries of the model; otherwise, missing entries keep
            their random values.

    Raises:
        InputError: The file cannot be read, or belongs to another model.
    """
    if weights is None:
        return build().to(device=device, dtype=dtype).eval()

    def build_in_dtype() -> Model:
        with _default_dtype(dtype):
            return build()

    model, report = build_and_load(build_in_dtype, weights)
    wrong = [*report.missing, *report.unused, *(change.name for change in report.skipped)]
    if strict and wrong:
        raise InputError(
            f"{report.summary()}: {wrong[0]} does not fit the model; give weights of this model, the options that they "
            "were trained with, or strict=False to load only what fits."
        )
    return model.to(device=device).eval()


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
