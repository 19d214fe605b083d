"""Match the entries of a weight file with those of a model, and resize what differs in size."""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from eva_backbone.errors import InputError
from eva_backbone.rotary import TABLE_NAME

from .load_report import LoadReport, ShapeChange, describe_weights
from .resizing import resize_entry

# Layers of a block without which it computes something else.
_BLOCK_LAYER = re.compile(r"(?:^|\.)blocks\.\d+\.((?:attn|mlp)\.(?:qkv|[qkv]_proj|inner_attn_ln|fc[12]|w\d+|ffn_ln))\.")
# Entries outside of the blocks without which the tokens would be others.
_TOKEN_ENTRY = re.compile(r"(?:.*\.)?(?:cls_token|reg_token|pos_embed|norm_pre\..*|patch_embed\..*|rope\.freqs)")
# What precedes the blocks of a ViT in a name: "" in a bare ViT, "backbone.net." in a detector, "visual." in a CLIP.
_VIT_PREFIX = re.compile(r"((?:.*\.)?)blocks\.\d+\.")
_MAX_PREFIXES = 8  # a file can have as many as entries, and all entries are renamed for each of them


def match_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> tuple[dict[str, Tensor], LoadReport]:
    """Find values for the entries of `model`, which is not changed, and report on them.

    A model whose names differ from those of its published files has a method `convert_state_dict`, which renames the
    entries of such a file. A model that knows more about its initial weights than shapes show has `adapt_state_dict`.

    Returns:
        Values by the model's names, in the model's shapes and the file's dtypes, and the report.

    Raises:
        InputError: The file belongs to another model: fewer than half of the entries of the backbone (or of the model,
            if it has none) would get a value; or it has integers instead of weights.
    """
    values, report = compare_weights(model, weights, path)
    check_same_model(model, weights, report)
    state = _tensors(model)
    for name, value in values.items():
        if value.is_complex() or (state[name].is_floating_point() and not value.is_floating_point()):
            raise InputError(
                f"{path}: {name} is stored as {value.dtype}, as quantised weights are, where the model has "
                f"{state[name].dtype}; give the file that they were made from."
            )
    return values, report


def compare_weights(
    model: nn.Module, weights: Mapping[str, Tensor], path: Path
) -> tuple[dict[str, Tensor], LoadReport]:
    """Do what `match_weights` does for any model and file, however little they have in common."""
    state = _tensors(model)
    convert = getattr(model, "convert_state_dict", None)
    if convert is not None:
        weights = convert(weights)
    # EVA-02's release saves the tables of its rotary positions, which are computed from the grid here.
    num_tables = sum(TABLE_NAME.search(name) is not None for name in weights)
    weights = {name: value for name, value in weights.items() if name in state or not TABLE_NAME.search(name)}
    renamed = _rename(weights, state)
    renamed, notes = _convert_qkv_bias(renamed, state)
    if num_tables:
        notes.append(f"{num_tables} tables of rotary positions ignored, which are computed from the size of the image")
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
        is_single_number = value.numel() == state[name].numel() == 1
        if is_single_number and max(len(shape), len(target)) == 1:
            # FSDP cannot shard a 0-dimensional parameter, so a sharded run stores it with one dimension.
            value, shape = value.reshape(target), target
        if shape == target and name not in adapted:
            used.append(name)
            values[name] = value
            continue
        fitted = adapted[name] if name in adapted else resize_entry(name, value, target, model)
        change = ShapeChange(name, shape, target)
        if fitted is None:
            skipped.append(change)
        else:
            resized.append(change)
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
    """Rename the file's ViT to that of the model: name in the model -> (name in the file, value).

    A bare ViT (pre-training) fits into a detector, a detector's ViT into a bare model, the image tower of a CLIP into
    both: only what precedes the names of the blocks differs. One replacement is applied to the whole file: the one that
    gives most entries a name of the model, or none.
    """
    best = {name: (name, value) for name, value in weights.items()}
    most = len(best.keys() & set(state))
    for old in _vit_prefixes(weights):
        for new in _vit_prefixes(state):
            renamed = {}
            for name, value in weights.items():
                target = new + name.removeprefix(old) if name.startswith(old) else name
                renamed[target] = (name, value)
            num_hits = len(renamed.keys() & set(state))
            if num_hits > most:
                best, most = renamed, num_hits
    return best


def _vit_prefixes(names: Iterable[str]) -> list[str]:
    prefixes: list[str] = []
    for name in names:
        match = _VIT_PREFIX.match(name)
        if match and match[1] not in prefixes and len(prefixes) < _MAX_PREFIXES:
            prefixes.append(match[1])
    return prefixes


def _convert_qkv_bias(
    renamed: dict[str, tuple[str, Tensor]], state: Collection[str]
) -> tuple[dict[str, tuple[str, Tensor]], list[str]]:
    """Convert between one bias of query, key and value (ViT) and two without that of the key (BEiT, EVA)."""
    result = dict(renamed)
    split = joined = 0
    nonzero = []
    for name, (original, value) in renamed.items():
        stem = name.removesuffix("qkv.bias")
        parts = (f"{stem}q_bias", f"{stem}v_bias")
        if stem != name and name not in state and all(part in state for part in parts) and _is_bias(value, 3):
            query, key, values = value.chunk(3)
            del result[name]
            result |= {parts[0]: (original, query), parts[1]: (original, values)}
            split += 1
            if not key.is_meta and key.float().count_nonzero():
                nonzero.append(original)
        stem = name.removesuffix("q_bias")
        if stem != name and f"{stem}qkv.bias" in state and f"{stem}v_bias" in renamed:
            values_name, values = f"{stem}v_bias", renamed[f"{stem}v_bias"][1]
            if not (_is_bias(value, 1) and _is_bias(values, 1)) or value.dtype != values.dtype:
                continue
            del result[name], result[values_name]
            result[f"{stem}qkv.bias"] = (original, torch.cat([value, torch.zeros_like(value), values]))
            joined += 1
    notes = []
    if split:
        # A key bias adds the same number to all logits of a query, which does not change its softmax.
        dropped = f"; {len(nonzero)} nonzero key biases dropped, which attention does not depend on" if nonzero else ""
        notes.append(f"qkv.bias of {split} blocks split into q_bias and v_bias{dropped}")
    if joined:
        notes.append(f"q_bias and v_bias of {joined} blocks joined into qkv.bias with a zero key bias")
    return result, notes


def _is_bias(value: Tensor, num_parts: int) -> bool:
    return value.ndim == 1 and value.is_floating_point() and len(value) > 0 and len(value) % num_parts == 0


def check_same_model(model: nn.Module, weights: Mapping[str, Tensor], report: LoadReport) -> None:
    """Check that a report on `weights` and `model` is not that of a file for another model, see `match_weights`.

    A module with `needs_all_weights` is one of many similar models, which differ in a few entries only: the tokens and
    blocks of the file must have the same ones.

    Raises:
        InputError: It is.
    """
    state = _tensors(model)
    prefix = next(iter(_vit_prefixes(state)), "")
    # The ViT if it is a part of the model, else the backbone, else the whole model.
    part = [name for name in state if prefix and name.startswith(prefix)]
    part = part or [name for name in state if name.startswith("backbone.")] or list(state)
    values = {*report.used, *(change.name for change in report.resized)}
    num_hits = sum(name in values for name in part)
    if 2 * num_hits < len(part):
        held, expected = describe_weights(weights), describe_weights(state)
        if held == expected:  # only the names differ
            missing = next(name for name in part if name not in values)
            other_names = [*report.unused, *weights]
            held, expected = f"names such as {other_names[0]}", f"such as {missing}"
        kind = "backbone entries" if len(part) < len(state) else "entries"
        raise InputError(
            f"{report.path} belongs to another model: it holds {held}, expected is {expected}, "
            f"and only {num_hits} of {len(part)} {kind} fit; "
            "give the weights made for this model, or the config that these weights were made with."
        )
    layers = _block_layers(state)
    dropped = [layer for layer in _block_layers(report.unused) if layers and layer not in layers]
    if dropped:
        raise InputError(
            f"{report.path} belongs to another model: its blocks have {dropped[0]}, without which their features would "
            "be others, and the blocks of this model do not; give the weights made for this model, or the config that "
            "these weights were made with."
        )
    for module_name, module in model.named_modules():
        if getattr(module, "needs_all_weights", False):
            lacking = [name for name in state if name.startswith(f"{module_name}.") and name not in values]
            unused = [name for name in report.unused if _VIT_PREFIX.match(name) or _TOKEN_ENTRY.fullmatch(name)]
            differing = lacking + [name for name in unused if name in weights and weights[name].is_floating_point()]
            if differing:
                raise InputError(
                    f"{report.path} belongs to another model than {module_name}: {len(differing)} entries are in only "
                    f"one of them, such as {differing[0]}; give the name of that model in the recipe, or other weights."
                )


def _block_layers(names: Iterable[str]) -> list[str]:
    """Return the layers that the blocks among `names` have, such as "attn.proj", in the order of the names."""
    matches = [match for name in names if (match := _BLOCK_LAYER.search(name))]
    return list(dict.fromkeys(match[1] for match in matches))
