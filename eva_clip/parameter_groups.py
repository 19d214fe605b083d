"""Parameter groups of EVA-CLIP: a learning rate and a layer-wise decay of it for each tower."""

from torch import nn

from eva_backbone.errors import InputError
from eva_engine.training.optimization import GroupingRule

from .image_tower import VISUAL

_LOGIT_SCALES, _TEXT_POSITIONS = ("text.logit_scale", "logit_scale"), "text.positional_embedding"
_VISUAL_RULE = GroupingRule(prefix=VISUAL)
# The text tower's blocks are named "transformer.resblocks", those of a ViT "blocks".
_TEXT_RULE = GroupingRule(prefix="text.transformer.res", also_layer_0=(_TEXT_POSITIONS, "text.token_embedding."))


def tower_layer_decay_groups(
    model: nn.Module,
    visual_lr: float,
    text_lr: float,
    logit_scale_lr: float,
    weight_decay: float,
    visual_decay_rate: float = 1.0,
    text_decay_rate: float = 1.0,
) -> list[dict]:
    """Group the trainable parameters by learning rate and weight decay, in the order of `model.named_parameters()`.

    In both towers the embeddings are layer 0, block i is layer i + 1, and everything else is layer depth + 1. Vectors,
    biases, the class token, position embeddings and the logit scale have no weight decay.

    Args:
        model: A `Clip`; only names and shapes of its parameters are used.
        visual_lr: Learning rate of the image tower's top layer; layer k has
            visual_lr * visual_decay_rate ** (depth + 1 - k).
        text_lr: Learning rate of the text tower's top layer.
        logit_scale_lr: Learning rate of the logit scale.
        weight_decay: Weight decay of the parameters that have any.
        visual_decay_rate: Factor between the learning rates of adjacent layers of the image tower, above 0 and at most
            1; with 1 all layers have the same learning rate.
        text_decay_rate: The same for the text tower.

    Returns:
        Groups with "params", "lr" and "weight_decay", for an optimizer.

    Raises:
        InputError: A decay rate is out of range, or the model is not a `Clip`.
    """
    names = [name for name, _ in model.named_parameters()]
    towers = {}
    for rule, lr, rate in ((_VISUAL_RULE, visual_lr, visual_decay_rate), (_TEXT_RULE, text_lr, text_decay_rate)):
        if not 0 < rate <= 1:
            raise InputError(f"a decay rate of {rate} is out of range; give a number above 0 and at most 1.")
        depth = max(rule.layer(name) or 0 for name in names)
        if depth == 0:
            raise InputError(
                f"the model has no parameters {rule.prefix}blocks.0.*; tower_layer_decay_groups supports EVA-CLIP only."
            )
        towers[rule] = (lr, rate, depth)
    groups: dict[tuple[float, float], dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rule = _VISUAL_RULE if name.startswith(VISUAL) else _TEXT_RULE
        if name in _LOGIT_SCALES:
            lr = logit_scale_lr
        else:
            top_lr, rate, depth = towers[rule]
            layer = rule.layer(name)
            lr = top_lr if layer is None else top_lr * rate ** (depth + 1 - layer)
        # The rule exempts a ViT's position embeddings; those of the text tower have another name.
        has_decay = rule.has_decay(name, parameter.ndim) and name != _TEXT_POSITIONS
        decay = weight_decay if has_decay else 0.0
        group = groups.setdefault((lr, decay), {"params": [], "lr": lr, "weight_decay": decay})
        group["params"].append(parameter)
    return list(groups.values())
