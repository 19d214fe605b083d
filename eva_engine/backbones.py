"""The interface that the engine expects of a backbone, and functions that find the backbones in a model.

Per-block sharding, activation checkpointing, compilation, LoRA, freezing, layer decay and memory plans work on the
transformer blocks of any model with a module that has this interface. Its names are timm's, so timm's vision
transformers work unchanged, as does every model of this project. `docs/howto/extend.md` shows how to use a backbone of
your own.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import nn

from eva_backbone.errors import InputError


class Backbone(Protocol):
    """A module with a list of transformer blocks."""

    blocks: nn.ModuleList | nn.Sequential

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters without weight decay, in addition to vectors and biases."""

    def group_matcher(self, coarse: bool = False) -> Mapping[str, Any]:
        """Return regular expressions that assign parameters to layers: "stem" to layer 0, "blocks" to numbered ones."""


def find_backbones(model: nn.Module) -> list[tuple[str, Any]]:
    """Return the backbones in `model` with their names; each is the module that itself has the blocks.

    A backbone within another one is not listed.
    """
    found: list[tuple[str, Any]] = []
    for name, module in model.named_modules():
        # Everything is inside of the model itself, which has the name "".
        is_inside_another = any(outer == "" or name.startswith(f"{outer}.") for outer, _ in found)
        if not is_inside_another and _is_backbone(module):
            found.append((name, module))
    return found


def _is_backbone(module: nn.Module) -> bool:
    # Not isinstance of a protocol: since Python 3.12 it does not see submodules, which `nn.Module` looks up itself.
    has_blocks = isinstance(module._modules.get("blocks"), nn.ModuleList | nn.Sequential)
    methods = [getattr(module, name, None) for name in ("no_weight_decay", "group_matcher")]
    return has_blocks and all(callable(method) for method in methods)


def transformer_blocks(model: nn.Module) -> list[nn.Module]:
    """Return the blocks of all backbones in `model`, in the order of computation."""
    blocks: list[nn.Module] = []
    for _, backbone in find_backbones(model):
        blocks += backbone.blocks
    return blocks


def require_backbones(model: nn.Module, setting: str) -> list[tuple[str, Any]]:
    """Return the backbones in `model`.

    Raises:
        InputError: There are none, so `setting` would have no effect on the model.
    """
    found = find_backbones(model)
    if not found:
        raise InputError(
            f"{setting} works on transformer blocks, and no part of {type(model).__name__} lists them: give its "
            "backbone the attribute `blocks` and the methods no_weight_decay and group_matcher, as timm's vision "
            "transformers have them (docs/howto/extend.md)"
        )
    return found
