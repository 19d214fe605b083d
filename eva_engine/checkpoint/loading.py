"""Load weights from a file into a model, without a second copy of them in memory."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from eva_backbone.deferred_init import PendingInit, deferred_init
from eva_backbone.errors import InputError
from eva_engine.inference_precision import FLOAT32, InferencePrecision, convert_for_inference

from .files import read_weights
from .load_report import LoadReport
from .mapped_file import MappedFile
from .matching import match_weights

logger = logging.getLogger(__name__)


def load_checkpoint(model: nn.Module, path: str | os.PathLike, pending: PendingInit | None = None) -> LoadReport:
    """Load the weights of a file into a model by name, and log which entries were loaded.

    CPU parameters of the file's dtype use the memory-mapped file directly. The mapping is private: training never
    changes the file, which may be deleted or replaced by a rename while it is in use, but must not be truncated. Other
    parameters are copied. The parameter objects and their `requires_grad` stay the same, so that an optimizer that was
    built before remains valid.

    Args:
        model: Model to load the weights into.
        path: Weight file, or folder of a sharded checkpoint.
        pending: Postponed initialisation from `eva_backbone.deferred_init.deferred_init`, which is run for parameters
            that get no value from the file.

    Raises:
        InputError: The file cannot be read or belongs to another model. The model is then unchanged.
    """
    return assign_weights(model, read_weights(path), Path(path), pending)


Model = TypeVar("Model", bound=nn.Module)


def build_and_load(
    build: Callable[[], Model],
    path: str | os.PathLike,
    *,
    averaged: bool = False,
    complete: bool = False,
    precision: InferencePrecision = FLOAT32,
) -> tuple[Model, LoadReport]:
    """Build a model and load its weights, without running initialisers of parameters that the file has.

    Args:
        build: Function that builds the model. Move or wrap the model and build its optimizer afterwards.
        path: Weight file, or folder of a sharded checkpoint.
        averaged: Load the moving average of the weights if the file has one; see `read_weights`.
        complete: Raise InputError if parameters keep random values, as for evaluation and prediction.
        precision: Precision to convert the model to for inference, see `convert_for_inference`. Values of other types
            are converted one at a time, so that memory never holds all of them twice.

    Returns:
        The model, on the device that `build` chose, and a report; see `load_checkpoint`.

    Raises:
        InputError: The file cannot be read, belongs to another model, or is incomplete.
    """
    weights = read_weights(path, averaged=averaged)  # before building, so that a wrong path fails immediately
    with deferred_init() as pending:
        model = build()
    report = assign_weights(model, weights, Path(path), pending, precision=precision)
    if complete:
        _require_all_parameters(model, report)
    return model, report


def _require_all_parameters(model: nn.Module, report: LoadReport) -> None:
    parameters = {name for name, _ in model.named_parameters()}
    not_loaded = [*(change.name for change in report.skipped), *report.missing]
    random = [name for name in not_loaded if name in parameters]
    if random:
        raise InputError(
            f"{report.path} has no values for {len(random)} parameters of the model ({random[0]}, ...), so its "
            "predictions would be random; give weights of a trained model, and the config they were trained with."
        )


def assign_weights(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    path: Path,
    pending: PendingInit | None = None,
    *,
    strict: bool = False,
    precision: InferencePrecision = FLOAT32,
) -> LoadReport:
    """Load weights into a model that have already been read from `path`; see `load_checkpoint`.

    Args:
        model: Model to load the weights into.
        weights: Tensors by name.
        path: File of the weights, for messages.
        pending: Postponed initialisation; see `load_checkpoint`.
        strict: Raise InputError unless every entry of the model and of the file is used as stored, as for resuming.
        precision: Precision to convert the model to for inference; see `build_and_load`.

    Raises:
        InputError: The weights belong to another model, or violate `strict`. The model is then unchanged.
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
    convert_for_inference(model, precision)
    mapped: set[int] = set()
    file = MappedFile(path)
    for name, value in values.items():
        if not _assign(state[name], value, mapped) and precision != FLOAT32:
            file.forget(value)
    report.log(logger)
    return report


def _assign(target: Tensor, value: Tensor, mapped: set[int]) -> bool:
    """Set `target` to `value`, using the memory of `value` if that is safe; return whether it is used.

    Args:
        target: Parameter or buffer of the model.
        value: Weights.
        mapped: Addresses of memory that other parameters already use.
    """
    address = value.untyped_storage().data_ptr()
    shareable = (
        isinstance(target, nn.Parameter)
        and value.dtype == target.dtype
        and value.device == target.device
        and value.is_contiguous()
        and target.is_contiguous()
        and value.nbytes == value.untyped_storage().nbytes()  # a view would make torch.save store all of its storage
        and value.data_ptr() % value.element_size() == 0
        and address not in mapped  # two parameters must not share memory, even if two entries of the file do
    )
    if shareable:
        mapped.add(address)
        target.data = value
    else:
        with torch.no_grad():
            target.copy_(value)
    return shareable
