"""Parameters that training leaves as they are."""

import difflib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from torch import nn

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError


def freeze_parameters(model: nn.Module, patterns: Sequence[str]) -> int:
    """Take the parameters whose names match one of `patterns` out of training; returns how many numbers they hold.

    Autograd stops where nothing in front is trained: frozen first blocks keep no activations and run no backward pass,
    with activation checkpointing too.

    Args:
        patterns: as in a shell, for whole names: `*` is anything, dots included, `?` one character, `[0-3]` one of
            several; for example "backbone.net.pos_embed", "backbone.net.blocks.?.*".

    Raises:
        InputError: a pattern that matches no parameter; the nearest names are given. The model is then unchanged.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    frozen: dict[int, nn.Parameter] = {}
    for pattern in patterns:
        hits = [parameter for name, parameter in parameters.items() if fnmatchcase(name, pattern)]
        if not hits:
            near = ", ".join(_near(pattern, list(parameters)))
            raise InputError(f"train.freeze: no parameter matches {pattern!r}; names like it are {near}")
        frozen |= {id(parameter): parameter for parameter in hits}
    for parameter in frozen.values():
        parameter.requires_grad_(False)
    return sum(parameter.numel() for parameter in frozen.values())


def _near(pattern: str, names: list[str]) -> list[str]:
    """Names of parameters and patterns of whole modules that resemble `pattern`, the best first."""
    parts = [name.split(".") for name in names]
    modules = {".".join(part[:depth]) + ".*" for part in parts for depth in range(1, len(part))}
    everything = sorted(modules) + names
    return difflib.get_close_matches(pattern, everything, n=3) or [name for name in everything if name.count(".") < 2]


def stop_noise_of_frozen_blocks(model: nn.Module) -> None:
    """Switch off stochastic depth in backbone blocks without a trained parameter.

    It regularises the block it drops; where nothing of the block learns, it only adds noise to the features. The model
    stays in training mode, in which nothing else of a frozen block behaves differently.
    """
    for _, vit in _backbones(model):
        for block in vit.blocks:
            if not _is_trained(block):
                block.drop_path = nn.Identity()


def trained_in_front_of_frozen_blocks(model: nn.Module) -> Iterator[tuple[str, int]]:
    """For each backbone whose frozen blocks must hand gradients on: a parameter they do it for, and their number."""
    for prefix, vit in _backbones(model):
        # named_parameters is in the order of computation: tokens and positions, the blocks, then norm and heads
        names = [name for name, _ in vit.named_parameters()]
        last = max(number for number, name in enumerate(names) if name.startswith("blocks."))
        first = next((name for name in names[: last + 1] if vit.get_parameter(name).requires_grad), None)
        if first is None:
            continue
        start = int(first.split(".")[1]) if first.startswith("blocks.") else 0
        num_frozen = sum(not _is_trained(block) for block in vit.blocks[start:])
        if num_frozen:
            yield f"{prefix}.{first}".lstrip("."), num_frozen


def _backbones(model: nn.Module) -> Iterator[tuple[str, VisionTransformer]]:
    return ((name, module) for name, module in model.named_modules() if isinstance(module, VisionTransformer))


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
