"""Models by name with the weights of a file: what the `create_*` functions of all tasks share."""

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
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    strict: bool = True,
) -> Model:
    """The model that `build` makes, in evaluation mode, with the weights of a file or random ones.

    Args:
        build: makes the model; it does not run initialisers for parameters that the file supplies.
        weights: a weight file of any layout that `load_checkpoint` reads; None for random weights.
        device: where the model goes.
        dtype: of its parameters. A file of the same type is mapped into memory, not copied.
        strict: refuse a file whose entries are not exactly those of the model; otherwise what is missing stays random.

    Raises:
        InputError: the file is unreadable, or made for another model.
    """
    if weights is None:
        return build().to(device, dtype).eval()

    def build_in_dtype() -> Model:
        with _default_dtype(dtype):
            return build()

    model, report = build_and_load(build_in_dtype, weights)
    wrong = [*report.missing, *report.unused, *(change.name for change in report.skipped)]
    if strict and wrong:
        raise InputError(
            f"{report.summary()}: {wrong[0]} does not fit the model; give weights made for it, the options that they "
            "were trained with, or strict=False to use what fits."
        )
    return model.to(device).eval()


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
