"""Freezing: parameters that training does not change."""

import difflib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from torch import nn

from eva_backbone.errors import InputError
from eva_engine.backbones import find_backbones, transformer_blocks


def freeze_parameters(model: nn.Module, patterns: Sequence[str]) -> int:
    """Freeze the parameters whose names match one of `patterns`, and return how many numbers they hold.

    Autograd stops where nothing below is trained: frozen first blocks keep no activations and run no backward pass,
    with activation checkpointing too.

    Args:
        model: The model, changed in place.
        patterns: Shell patterns for full names: `*` matches anything, dots included, `?` one character, `[0-3]` one of
            several; for example "backbone.net.pos_embed", "backbone.net.blocks.?.*".

    Raises:
        InputError: A pattern that matches no parameter; the closest names are listed. The model is then unchanged.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    frozen: dict[int, nn.Parameter] = {}
    for pattern in patterns:
        matches = [parameter for name, parameter in parameters.items() if fnmatchcase(name, pattern)]
        if not matches:
            similar = ", ".join(_similar_names(pattern, list(parameters)))
            raise InputError(f"train.freeze: no parameter matches {pattern!r}; similar names are {similar}")
        frozen |= {id(parameter): parameter for parameter in matches}
    for parameter in frozen.values():
        parameter.requires_grad_(False)
    return sum(parameter.numel() for parameter in frozen.values())


def _similar_names(pattern: str, names: list[str]) -> list[str]:
    """Return the names of parameters, and patterns of modules, that resemble `pattern`, most similar first."""
    modules = set()
    for name in names:
        parts = name.split(".")
        for depth in range(1, len(parts)):
            modules.add(".".join(parts[:depth]) + ".*")
    candidates = sorted(modules) + names
    similar = difflib.get_close_matches(pattern, candidates, n=3)
    return similar or [name for name in candidates if name.count(".") < 2]


def disable_drop_path_of_frozen_blocks(model: nn.Module) -> None:
    """Switch off stochastic depth in transformer blocks without a trained parameter.

    It regularises the block that it drops; if nothing in the block is trained, it only adds noise to the features. The
    model stays in training mode, in which nothing else in a frozen block behaves differently. Blocks of timm have two
    such layers.
    """
    for block in transformer_blocks(model):
        if _is_trained(block):
            continue
        for name in ("drop_path", "drop_path1", "drop_path2"):
            if hasattr(block, name):
                setattr(block, name, nn.Identity())


def trained_below_frozen_blocks(model: nn.Module) -> Iterator[tuple[str, int]]:
    """Find frozen blocks that must propagate gradients: yield the parameter that needs them, and their number.

    The gradient of a trained parameter below a frozen block passes through that block, which then has to keep its
    activations although it learns nothing.
    """
    for prefix, backbone in find_backbones(model):
        # named_parameters is in the order of computation: tokens and positions, the blocks, then norm and heads
        names = [name for name, _ in backbone.named_parameters()]
        last = max(number for number, name in enumerate(names) if name.startswith("blocks."))
        first_trained = None
        for name in names[: last + 1]:
            if backbone.get_parameter(name).requires_grad:
                first_trained = name
                break
        if first_trained is None:
            continue
        start = int(first_trained.split(".")[1]) if first_trained.startswith("blocks.") else 0
        num_frozen = sum(not _is_trained(block) for block in backbone.blocks[start:])
        if num_frozen:
            yield f"{prefix}.{first_trained}".lstrip("."), num_frozen


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
