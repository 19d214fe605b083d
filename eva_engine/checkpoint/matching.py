"""Which entry of a file goes to which entry of the model, and what has to be resized on the way."""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from eva_backbone.errors import InputError

from .load_report import LoadReport, ShapeChange, describe_weights
from .resizing import resize_entry

# (prefix in the file, prefix in the model): a bare ViT file (pre-training) goes into a detector, a detector's ViT into
# a bare model, a CLIP model's image tower into both, a bare ViT into a CLIP or a segmentation model. One pair serves a
# whole file: the one under which most names are the model's.
PREFIXES = (
    ("", ""),
    ("", "backbone.net."),
    ("backbone.net.", ""),
    ("visual.", ""),
    ("visual.", "backbone.net."),
    ("", "visual."),
    ("", "backbone."),
)
_VIT_PREFIX = "backbone.net."


def match_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], LoadReport]:
    """Values for entries of `model` by its names, and the report; the model is not changed.

    A model whose own names differ from those of its published files has a method `convert_state_dict`, which
    gives weights of such a file the model's names. Values have the model's shapes but the file's dtypes. Raises
    InputError when the file is of another model: fewer than half of the entries of the backbone (of the whole model where it has none)
    would get a value; or when it holds integers in the place of weights.
    """
    values, report = compare_weights(model, weights, path)
    check_same_model(model, weights, report)
    state = _tensors(model)
    for name, value in values.items():
        if state[name].is_floating_point() and not value.is_floating_point():
            raise InputError(
                f"{path}: {name} is stored as {value.dtype}, as quantised weights are, where the model has "
                f"{state[name].dtype}; give the file that they were made from."
            )
    return values, report


def compare_weights(
    model: nn.Module, weights: Mapping[str, Tensor], path: Path
) -> tuple[dict[str, Tensor], LoadReport]:
    """:func:`match_weights` of any two, however little they have in common."""
    state = _tensors(model)
    rename = getattr(model, "convert_state_dict", None)
    if rename is not None:
        weights = rename(weights)
    renamed = _rename(weights, state)
    renamed, notes = _convert_qkv_bias(renamed, state)
    # A model may know more about the files that it starts from than their shapes tell.
    adapt = getattr(model, "adapt_state_dict", None)
    adapted = {} if adapt is None else adapt({name: value for name, (_, value) in renamed.items()})
    values: dict[str, Tensor] = {}
    used: list[str] = []
    resized: list[ShapeChange] = []
    skipped: list[ShapeChange] = []
    for name, (_, value) in renamed.items():
        if name not in state:
            continue
        shape, target = tuple(value.shape), tuple(state[name].shape)
        if value.numel() == state[name].numel() == 1 and max(len(shape), len(target)) == 1:
            # A scale that a split run stores as a vector of one.
            value, shape = value.reshape(target), target
        if shape == target and name not in adapted:
            used.append(name)
            values[name] = value
            continue
        fitted = adapted[name] if name in adapted else resize_entry(name, value, target, model)
        (skipped if fitted is None else resized).append(ShapeChange(name, shape, target))
        if fitted is not None:
            values[name] = fitted
    skipped_names = {change.name for change in skipped}
    report = LoadReport(
        path=path,
        used=used,
        resized=resized,
        skipped=skipped,
        missing=[name for name in state if name not in values and name not in skipped_names],
        unused=[original for name, (original, _) in renamed.items() if name not in state],
        notes=notes,
    )
    return values, report


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in model.state_dict(keep_vars=True).items() if isinstance(value, Tensor)}


def _rename(weights: Mapping[str, Tensor], state: Collection[str]) -> dict[str, tuple[str, Tensor]]:
    """Model name -> (name in the file, value) under the prefix pair that hits most names."""

    def apply(pair: tuple[str, str]) -> dict[str, tuple[str, Tensor]]:
        old, new = pair
        return {
            new + name.removeprefix(old) if name.startswith(old) else name: (name, value)
            for name, value in weights.items()
        }

    return max(map(apply, PREFIXES), key=lambda renamed: len(renamed.keys() & set(state)))


def _convert_qkv_bias(
    renamed: dict[str, tuple[str, Tensor]], state: Collection[str]
) -> tuple[dict[str, tuple[str, Tensor]], list[str]]:
    """Between one bias of q, k and v (plain ViT) and two without that of k (BEiT, EVA), as the model needs."""
    result = dict(renamed)
    split = joined = 0
    nonzero = []
    for name, (original, value) in renamed.items():
        stem = name.removesuffix("qkv.bias")
        parts = (f"{stem}q_bias", f"{stem}v_bias")
        if stem != name and name not in state and all(part in state for part in parts) and value.ndim == 1:
            query, key, values = value.chunk(3)
            del result[name]
            result |= {parts[0]: (original, query), parts[1]: (original, values)}
            split += 1
            if key.count_nonzero():
                nonzero.append(original)
        stem = name.removesuffix("q_bias")
        if stem != name and f"{stem}qkv.bias" in state and f"{stem}v_bias" in renamed:
            values_name, values = f"{stem}v_bias", renamed[f"{stem}v_bias"][1]
            del result[name], result[values_name]
            result[f"{stem}qkv.bias"] = (original, torch.cat([value, torch.zeros_like(value), values]))
            joined += 1
    notes = []
    if split:
        # adding one number to all logits of a query leaves its softmax as it was, so the outputs are the same
        dropped = f"; {len(nonzero)} nonzero key biases dropped, which attention does not depend on" if nonzero else ""
        notes.append(f"qkv.bias of {split} blocks split into q_bias and v_bias{dropped}")
    if joined:
        notes.append(f"q_bias and v_bias of {joined} blocks joined into qkv.bias with a zero key bias")
    return result, notes


def check_same_model(model: nn.Module, weights: Mapping[str, Tensor], report: LoadReport) -> None:
    """Raise InputError where `report`, of `weights` and `model`, shows a file of another model; see `match_weights`."""
    state = _tensors(model)
    part = [name for name in state if name.startswith(_VIT_PREFIX)]
    part = part or [name for name in state if name.startswith("backbone.")] or list(state)
    values = {*report.used, *(change.name for change in report.resized)}
    hits = sum(name in values for name in part)
    if 2 * hits < len(part):
        held, expected = describe_weights(weights), describe_weights(state)
        if held == expected:  # the names are what differs
            held, expected = f"names such as {next(iter(weights))}", f"such as {part[0]}"
        raise InputError(
            f"{report.path} is of another model: it holds {held}, expected is {expected}, "
            f"and only {hits} of {len(part)} {'backbone ' if len(part) < len(state) else ''}entries fit; "
            "give the weights made for this model, or the config that these weights were made with."
        )
