"""Low-rank adaptation (LoRA; Hu et al., 2021) through peft: frozen layers learn an update of low rank."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from eva_backbone.errors import InputError
from eva_engine.backbones import require_backbones
from eva_engine.checkpoint.load_report import shorten_names
from eva_engine.checkpoint.lora_weights import ADAPTER

# Matching a name takes time that grows with the power of the number of repetitions, and exponentially if a group with
# a repetition is repeated.
_MAX_REPETITIONS = 6


def add_lora(model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Let the linear layers that match `settings["targets"]` compute with W + alpha / rank * B A instead of W.

    The backbone that contains an adapted layer is frozen except for its adapters; an adapted layer outside of a
    backbone is frozen alone. Everything else (pyramid, proposal network, heads) is trained unless it was frozen before.
    B starts at zero, so the outputs of the model do not change. The entries of an adapted layer L become
    `L.base_layer.weight`, `L.lora_A.default.weight` and `L.lora_B.default.weight`.

    Args:
        model: The model, changed in place.
        settings: The recipe's `train.lora`: rank (0 changes nothing), alpha, dropout, targets.

    Raises:
        InputError: Peft is not installed, no linear layer matches, numbers are out of range, or no part of the model
            lists transformer blocks, so that there is no backbone to freeze.
    """
    if settings["rank"] == 0:
        return
    names = _target_names(model, settings)
    backbones = require_backbones(model, f"train.lora.rank={settings['rank']}")
    try:
        from peft import LoraConfig, inject_adapter_in_model  # seconds of import, for those who use it
    except ImportError as error:
        raise InputError(
            f"train.lora.rank={settings['rank']} needs peft, which cannot be imported ({error}): pip install "
            "peft, or set the rank to 0"
        ) from error
    trained_before = {id(parameter): parameter.requires_grad for parameter in model.parameters()}
    frozen: set[int] = set()
    for name in names:
        module = _module_to_freeze(model, name, backbones)
        frozen.update(id(parameter) for parameter in module.parameters())
    config = LoraConfig(
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        target_modules="|".join(map(re.escape, names)),
    )
    inject_adapter_in_model(config, model, ADAPTER)
    del model.peft_config  # peft leaves it on the model; the recipe holds the settings
    for parameter in model.parameters():
        key = id(parameter)
        # peft froze everything but the adapters, which are the new parameters
        is_adapter = key not in trained_before
        parameter.requires_grad_(is_adapter or (trained_before[key] and key not in frozen))


def merge_lora(model: nn.Module) -> None:
    """Replace adapted layers with ordinary ones under the original names, with the low-rank updates added.

    Weights keep their dtype, and frozen ones stay frozen.

    Raises:
        ValueError: A merged weight is not finite.
    """
    adapted = [(name, module) for name, module in model.named_modules() if hasattr(module, "lora_A")]
    for name, module in adapted:
        module.merge(safe_merge=True)
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, module.get_base_layer())


def _target_names(model: nn.Module, settings: Mapping[str, Any]) -> list[str]:
    if settings["rank"] < 0 or not 0 <= settings["dropout"] < 1:
        raise InputError(
            f"train.lora.rank={settings['rank']} and train.lora.dropout={settings['dropout']} were given; "
            "the rank is 0 or more, the dropout from 0 to below 1"
        )
    pattern = _compile_targets(settings["targets"])
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    names = [name for name in linear if pattern.fullmatch(name)]
    if not names:
        raise InputError(
            f"train.lora.targets={settings['targets']!r} matches no linear layer; it must match full names, "
            f"and the model has {', '.join(shorten_names(linear)[:4])}"
        )
    return names


def _compile_targets(targets: str) -> re.Pattern[str]:
    """Compile `train.lora.targets`, which can be from a file of a run, if it matches names in a bounded time."""
    try:
        pattern = re.compile(targets)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(
            f"train.lora.targets={targets[:200]!r} is not a regular expression ({error}); "
            r"write one such as .*\.attn\.qkv"
        ) from error
    without_escapes = re.sub(r"\\.", "x", targets)
    if re.search(r"\(\?[aiLmsu]*x", without_escapes):
        raise InputError(
            f"train.lora.targets={targets[:200]!r} has the flag x, with which spaces count for nothing; leave both out"
        )
    without_escapes = without_escapes.replace("(?", "(")
    repeated = re.findall(r"(.?)([*+{?])", without_escapes)
    if len(repeated) > _MAX_REPETITIONS or any(before == ")" and sign != "?" for before, sign in repeated):
        raise InputError(
            f"train.lora.targets={targets[:200]!r} repeats too much to be matched quickly; repeat no group, and use at "
            f"most {_MAX_REPETITIONS} of * + ? {{"
        )
    return pattern


def _module_to_freeze(model: nn.Module, layer: str, backbones: Sequence[tuple[str, nn.Module]]) -> nn.Module:
    """Return the backbone that contains the layer, or the layer itself if none does."""
    for name, backbone in backbones:
        if layer.startswith(f"{name}." if name else ""):
            return backbone
    return model.get_submodule(layer)
