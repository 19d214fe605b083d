"""Parameter groups with a learning rate and a layer decay for each tower."""

import re

from torch import nn

from eva_backbone.errors import InputError

# Prefix of a tower's names, of its blocks inside the tower, and beginnings of what lies below the blocks.
_VISUAL = ("visual.", "blocks.", ("cls_token", "pos_embed", "patch_embed."))
_TEXT = ("text.", "transformer.resblocks.", ("positional_embedding", "token_embedding."))
_SCALE = "text.logit_scale"
_NO_DECAY = ("visual.cls_token", "visual.pos_embed", "text.positional_embedding")


def tower_groups(
    model: nn.Module,
    visual_lr: float,
    text_lr: float,
    scale_lr: float,
    weight_decay: float,
    visual_decay_rate: float = 1.0,
    text_decay_rate: float = 1.0,
) -> list[dict]:
    """Groups of trainable parameters of one learning rate and weight decay, in the order the model names them.

    In both towers embeddings are layer 0, block i is layer i + 1, all else is layer depth + 1. Vectors, biases, class
    token, position tables and the scale have no weight decay.

    Args:
        model: `Clip`; only names and shapes are used.
        visual_lr: of the image tower's top layer; layer k has visual_lr * visual_decay_rate ** (depth + 1 - k).
        text_lr: of the text tower's.
        scale_lr: of the logits' scale.
        weight_decay: of the parameters that have some.
        visual_decay_rate: above 0 and at most 1, which is the same learning rate in all layers.
        text_decay_rate: of the text tower.

    Returns:
        Groups with "params", "lr" and "weight_decay", for an optimizer.

    Raises:
        InputError: a decay rate out of range, or a model that is no `Clip`.
    """
    for rate in (visual_decay_rate, text_decay_rate):
        if not 0 < rate <= 1:
            raise InputError(f"a decay rate of {rate} is out of range; give a number above 0 and at most 1.")
    names = [name for name, _ in model.named_parameters()]
    towers = {
        _VISUAL: (visual_lr, visual_decay_rate, _depth(names, _VISUAL)),
        _TEXT: (text_lr, text_decay_rate, _depth(names, _TEXT)),
    }
    groups: dict[tuple[float, float], dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        lr = scale_lr
        if name != _SCALE:
            tower = _VISUAL if name.startswith(_VISUAL[0]) else _TEXT
            base, rate, depth = towers[tower]
            lr = base * rate ** (depth + 1 - _layer(name, tower, depth))
        decays = parameter.ndim > 1 and not name.endswith("bias") and name not in _NO_DECAY
        decay = weight_decay if decays else 0.0
        group = groups.setdefault((lr, decay), {"params": [], "lr": lr, "weight_decay": decay})
        group["params"].append(parameter)
    return list(groups.values())


def _depth(names: list[str], tower: tuple[str, str, tuple[str, ...]]) -> int:
    prefix, blocks, _ = tower
    numbers = [int(match[1]) for name in names if (match := re.match(rf"{re.escape(prefix + blocks)}(\d+)\.", name))]
    if not numbers:
        raise InputError(f"the model has no parameters {prefix}{blocks}0.*; tower_groups is made for EVA-CLIP.")
    return max(numbers) + 1


def _layer(name: str, tower: tuple[str, str, tuple[str, ...]], depth: int) -> int:
    prefix, blocks, inputs = tower
    inside = name.removeprefix(prefix)
    if inside.startswith(blocks):
        return int(inside.removeprefix(blocks).partition(".")[0]) + 1
    return 0 if inside.startswith(inputs) else depth + 1
