"""Weights from a file into a model, without a second copy of them in memory."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from eva_backbone.deferred_init import PendingInit, deferred_init
from eva_backbone.errors import InputError

from .files import read_weights
from .load_report import LoadReport
from .matching import match_weights

logger = logging.getLogger(__name__)


def load_checkpoint(model: nn.Module, path: str | os.PathLike, pending: PendingInit | None = None) -> LoadReport:
    """Give `model` the weights of the file `path`, by name, and log what became of every entry.

    Parameters on the CPU of the file's dtype take the mapped memory of the file itself (private: training never writes
    to the file, which may be deleted or replaced by rename meanwhile, but not cut short); others are copied into.
    Parameter objects stay the same ones, so that an optimizer built before keeps working, with their `requires_grad`.
    With `pending` (see :func:`eva_backbone.deferred_init.deferred_init`) parameters that get no value are initialised.

    Raises InputError when the file is unreadable or of another model; the model is then unchanged.
    """
    return assign_weights(model, read_weights(path), Path(path), pending)


Model = TypeVar("Model", bound=nn.Module)


def build_and_load(
    build: Callable[[], Model], path: str | os.PathLike, *, averaged: bool = False, complete: bool = False
) -> tuple[Model, LoadReport]:
    """`build()` without running initialisers that the file `path` makes needless, then :func:`load_checkpoint`.

    The model is on the device that `build` puts it on; move it, wrap it and make its optimizer afterwards.

    averaged: take the moving average of the weights where the file has one, see :func:`read_weights`.
    complete: raise InputError where the file leaves parameters random, as for evaluation and prediction.
    """
    weights = read_weights(path, averaged=averaged)  # before building, so that a wrong path fails at once
    with deferred_init() as pending:
        model = build()
    report = assign_weights(model, weights, Path(path), pending)
    if complete:
        _require_all_parameters(model, report)
    return model, report


def _require_all_parameters(model: nn.Module, report: LoadReport) -> None:
    parameters = {name for name, _ in model.named_parameters()}
    random = [name for name in (*(change.name for change in report.skipped), *report.missing) if name in parameters]
    if random:
        raise InputError(
            f"{report.path} has no values for {len(random)} parameters of the model ({random[0]}, ...), so that what "
            "it predicts would be random: give weights of a trained model, and the config they were trained with."
        )


def assign_weights(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    path: Path,
    pending: PendingInit | None = None,
    *,
    strict: bool = False,
) -> LoadReport:
    """:func:`load_checkpoint` for `weights` already read from `path`.

    strict: raise InputError unless every entry of the model and of the file is used as it is (resuming a run).
    """
    values, report = match_weights(model, weights, path)
    if strict and (report.resized or report.skipped or report.missing or report.unused):
        raise InputError(
            f"{report.summary()}: the run cannot be resumed with this model; resume with the config that wrote "
            "the file, or give the file as initial weights of a new run."
        )
    state = model.state_dict(keep_vars=True)
    if pending is not None:
        supplied = {id(state[name]) for name in values}
        parameters = model.named_parameters(remove_duplicate=False)
        pending.materialize(model, {name for name, parameter in parameters if id(parameter) not in supplied})
    taken: set[int] = set()
    for name, value in values.items():
        _assign(state[name], value, taken)
    report.log(logger)
    return report


def _assign(target: Tensor, value: Tensor, taken: set[int]) -> None:
    """Set `target` to `value`, sharing its memory where that is safe; `taken` are addresses already shared."""
    address = value.untyped_storage().data_ptr()
    shareable = (
        isinstance(target, nn.Parameter)
        and value.dtype == target.dtype
        and value.device == target.device
        and value.is_contiguous()
        and target.is_contiguous()
        and value.nbytes == value.untyped_storage().nbytes()  # else saving the model would store the rest too
        and value.data_ptr() % value.element_size() == 0
        and address not in taken  # two parameters must not share one memory, even where two entries of the file do
    )
    if shareable:
        taken.add(address)
        target.data = value
    else:
        with torch.no_grad():
            target.copy_(value)
