"""Parameter groups with a learning rate and a layer decay for each tower."""

from torch import nn

from eva_backbone.errors import InputError
from eva_engine.training.optimization import GroupingRule

from .image_tower import VISUAL

_SCALE, _POSITIONS = "text.logit_scale", "text.positional_embedding"
_VISUAL = GroupingRule(vit=VISUAL)
# The text tower calls its blocks "resblocks".
_TEXT = GroupingRule(vit="text.transformer.res", also_layer_0=(_POSITIONS, "text.token_embedding."))


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
    names = [name for name, _ in model.named_parameters()]
    towers = {}
    for rule, lr, rate in ((_VISUAL, visual_lr, visual_decay_rate), (_TEXT, text_lr, text_decay_rate)):
        if not 0 < rate <= 1:
            raise InputError(f"a decay rate of {rate} is out of range; give a number above 0 and at most 1.")
        depth = max(rule.layer(name) or 0 for name in names)
        if depth == 0:
            raise InputError(f"the model has no parameters {rule.vit}blocks.0.*; tower_groups is made for EVA-CLIP.")
        towers[rule] = (lr, rate, depth)
    groups: dict[tuple[float, float], dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rule = _VISUAL if name.startswith(VISUAL) else _TEXT
        base, rate, depth = towers[rule]
        layer = rule.layer(name)
        lr = scale_lr if name == _SCALE else base * rate ** (0 if layer is None else depth + 1 - layer)
        has_decay = rule.has_decay(name, parameter.ndim) and name != _POSITIONS
        decay = weight_decay if has_decay else 0.0
        group = groups.setdefault((lr, decay), {"params": [], "lr": lr, "weight_decay": decay})
        group["params"].append(parameter)
    return list(groups.values())
