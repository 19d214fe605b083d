"""Low-rank adaptation (Hu et al., 2021) through peft: frozen layers learn a difference of low rank."""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError
from eva_engine.checkpoint.load_report import shorten_names
from eva_engine.checkpoint.lora_weights import ADAPTER


def add_lora(model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Let the linear layers that `settings["targets"]` matches learn W + alpha / rank * B A in place of W.

    The backbone that holds an adapted layer is frozen, all of it except its adapters; an adapted layer elsewhere is
    frozen alone. Everything else (pyramid, proposal network, heads) is trained unless it was frozen before. B starts at
    zero: the model computes what it computed. Entries of an adapted layer L are then named `L.base_layer.weight`,
    `L.lora_A.default.weight` and `L.lora_B.default.weight`.

    Args:
        settings: the recipe's `train.lora`: rank (0 changes nothing), alpha, dropout, targets.

    Raises:
        InputError: peft is not installed, targets that match no linear layer, or numbers out of range.
    """
    if settings["rank"] == 0:
        return
    names = _target_names(model, settings)
    try:
        from peft import LoraConfig, inject_adapter_in_model  # seconds of import, for those who use it
    except ImportError as error:
        raise InputError(
            f"train.lora.rank={settings['rank']} needs peft, which cannot be imported ({error}): pip install "
            "peft, or set the rank to 0"
        ) from error
    before = {id(parameter): parameter.requires_grad for parameter in model.parameters()}
    frozen = {id(parameter) for name in names for parameter in _frozen_part(model, name).parameters()}
    config = LoraConfig(
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        target_modules="|".join(map(re.escape, names)),
    )
    inject_adapter_in_model(config, model, ADAPTER)
    del model.peft_config  # left on the model by peft; the recipe holds the settings
    for parameter in model.parameters():  # peft froze all but the adapters
        key = id(parameter)
        parameter.requires_grad_(key not in before or (before[key] and key not in frozen))


def merge_lora(model: nn.Module) -> None:
    """Put plain layers with the adapters' differences added, under their plain names, in place of adapted ones.

    The weights keep their dtype, and those that were frozen stay frozen.

    Raises:
        ValueError: a merged weight is not finite.
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
    try:
        pattern = re.compile(settings["targets"])
    except re.error as error:
        raise InputError(
            f"train.lora.targets={settings['targets']!r} is no regular expression ({error}); "
            r"write one such as .*\.attn\.qkv"
        ) from error
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    names = [name for name in linear if pattern.fullmatch(name)]
    if not names:
        raise InputError(
            f"train.lora.targets={settings['targets']!r} matches no linear layer; it must match whole names, "
            f"and the model has {', '.join(shorten_names(linear)[:4])}"
        )
    return names


def _frozen_part(model: nn.Module, layer: str) -> nn.Module:
    """The backbone that the layer belongs to, or the layer itself where it belongs to none."""
    parents = layer.split(".")
    for depth in range(len(parents)):
        module = model.get_submodule(".".join(parents[:depth]))
        if isinstance(module, VisionTransformer):
            return module
    return model.get_submodule(layer)
