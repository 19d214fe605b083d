"""Parameter groups of the recipes: learning rate by layer, weight decay by kind of parameter."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from detectron2.config import instantiate
from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate
from omegaconf import DictConfig, ListConfig
from torch import nn

from eva_backbone.errors import InputError


@dataclass(frozen=True)
class GroupingRule:
    """Where a task's model keeps its ViT, and what its recipe counts differently.

    Args:
        vit: what stands in front of the ViT's parameter names.
        also_layer_0: beginnings of further names that train as slowly as the patch embedding.
        decay_tokens: class token and position table have weight decay.
    """

    vit: str = ""
    also_layer_0: tuple[str, ...] = ()
    decay_tokens: bool = False

    def layer(self, name: str) -> int | None:
        """0 below the blocks, i + 1 in block i, None in all that stands on top or beside the ViT."""
        if name.startswith(self.also_layer_0):
            return 0
        inside = name.removeprefix(self.vit) if name.startswith(self.vit) else ""
        block = re.match(r"blocks\.(\d+)\.", inside)
        if block:
            return int(block[1]) + 1
        is_input = inside in ("cls_token", "mask_token", "pos_embed") or inside.startswith("patch_embed.")
        return 0 if is_input else None

    def has_decay(self, name: str, ndim: int) -> bool:
        """Matrices and larger tables; no vectors, no biases."""
        is_token = name in (f"{self.vit}cls_token", f"{self.vit}pos_embed")
        return ndim > 1 and not name.endswith(".bias") and (self.decay_tokens or not is_token)


# Parts of Mask2Former's head whose names the published segmentation recipe takes for embeddings of the input.
_SEMSEG_QUERIES = tuple(f"decode_head.{part}" for part in ("mask_embed", "cls_embed", "level_embed", "query_"))

GROUPING_RULES = {
    "classification": GroupingRule(),  # masked image modelling too
    "video": GroupingRule(),
    "semseg": GroupingRule(vit="backbone.", also_layer_0=_SEMSEG_QUERIES, decay_tokens=True),
    # As meant: classifier and queries learn at the full rate; class token and position table have no decay.
    "semseg_corrected": GroupingRule(vit="backbone."),
}


def layer_decay_groups(
    model: nn.Module, base_lr: float, weight_decay: float, decay_rate: float = 1.0, rule: str = "classification"
) -> list[dict]:
    """Groups of trainable parameters of one learning rate and weight decay, in the order the model names them.

    The ViT's inputs (patch embedding, tokens, position table) are layer 0, block i is layer i + 1 and all else, the
    heads above all, layer depth + 1. Vectors, biases, class token and position table have no weight decay.

    Args:
        model: only names and shapes are used.
        base_lr: learning rate of the top layer; layer k has base_lr * decay_rate ** (depth + 1 - k).
        weight_decay: of the parameters that have some.
        decay_rate: above 0 and at most 1, which is the same learning rate everywhere.
        rule: key of `GROUPING_RULES`. "semseg" is the grouping of the published segmentation models: classifier and
            queries in layer 0, weight decay on class token and position table.

    Returns:
        Groups with "params", "lr" and "weight_decay", for an optimizer.

    Raises:
        InputError: an unknown rule, a rate out of range, or a model whose blocks are not where `rule` expects them.
    """
    if rule not in GROUPING_RULES:
        raise InputError(f"rule={rule} is no grouping of parameters; choose one of {', '.join(GROUPING_RULES)}")
    if not 0 < decay_rate <= 1:
        raise InputError(f"decay_rate={decay_rate} is out of range; give a number above 0 and at most 1")
    grouping = GROUPING_RULES[rule]
    layers = {name: grouping.layer(name) for name, _ in model.named_parameters()}
    depth = max((layer for layer in layers.values() if layer), default=0)
    if decay_rate < 1 and depth == 0:
        raise InputError(
            f"decay_rate={decay_rate} with rule={rule} needs parameters {grouping.vit}blocks.0.*, which this model has "
            f"not; choose the rule of its task ({', '.join(GROUPING_RULES)}) or decay_rate=1.0"
        )
    groups: dict[tuple[float, float], dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        layer = layers[name]
        lr = base_lr * decay_rate ** (0 if layer is None else depth + 1 - layer)
        decay = weight_decay if grouping.has_decay(name, parameter.ndim) else 0.0
        group = groups.setdefault((lr, decay), {"params": [], "lr": lr, "weight_decay": decay})
        group["params"].append(parameter)
    return list(groups.values())


def layer_decay(num_layers: int, lr_decay_rate: float) -> Callable[[str], float]:
    """Factor of the learning rate by parameter name, for `lr_factor_func` of Detectron2's parameter groups.

    Position and patch embedding are layer 0, block i is layer i + 1, all else (pyramid, RPN, heads) is layer
    `num_layers` + 1; the factor is `lr_decay_rate` ** (`num_layers` + 1 - layer). Source: ViTDet paper, appendix A.2.
    """
    return partial(get_vit_lr_decay_rate, num_layers=num_layers, lr_decay_rate=lr_decay_rate)


def build_optimizer(cfg: DictConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Optimizer of `cfg.optimizer` over the trainable parameters of `model`, grouped by learning rate and decay."""
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    del cfg.optimizer.params.model
    # Config lists would be pickled into checkpoints, which could then not be read as plain weights.
    for settings in (optimizer.defaults, *optimizer.param_groups):
        for name, value in settings.items():
            if isinstance(value, ListConfig):
                settings[name] = tuple(value)
    return optimizer
