"""Parameter groups of an optimizer: learning rate by layer, weight decay by kind of parameter."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.backbones import find_backbones, require_backbones
from eva_engine.config.instantiation import instantiate

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GroupingRule:
    """How parameters are assigned to layers and which of them have weight decay, by name.

    Attributes:
        prefix: Beginning of the names of the backbone's parameters.
        also_layer_0: Beginnings of further names with the learning rate of the patch embedding.
        decay_tokens: Use weight decay for class token and position table too.
        stem: Regular expression for the names of layer 0, without the prefix.
        blocks: Regular expression for the names of block i, which is layer i + 1; its group is the number.
        no_decay: Names of parameters without weight decay unless `decay_tokens`, without the prefix.
    """

    prefix: str = ""
    also_layer_0: tuple[str, ...] = ()
    decay_tokens: bool = False
    stem: str = r"(?:cls_token|mask_token|pos_embed|patch_embed)(?:\.|$)"
    blocks: str = r"blocks\.(\d+)\."
    no_decay: frozenset[str] = frozenset({"cls_token", "pos_embed"})

    @classmethod
    def of_model(cls, model: nn.Module) -> "GroupingRule":
        """Return the rule of the one backbone in `model`, by its own `group_matcher` and `no_weight_decay`.

        Raises:
            InputError: The model has several backbones.
        """
        backbones = find_backbones(model)
        if not backbones:
            return cls()
        if len(backbones) > 1:
            names = ", ".join(name for name, _ in backbones)
            raise InputError(f"the model has several backbones ({names}); give optimizer.params.rule for one of them")
        name, backbone = backbones[0]
        matcher = backbone.group_matcher()
        blocks = matcher["blocks"]
        return cls(
            prefix=f"{name}." if name else "",
            stem=matcher["stem"],
            # timm may list several expressions, of which the first one is that of the blocks
            blocks=blocks if isinstance(blocks, str) else blocks[0][0],
            no_decay=frozenset(backbone.no_weight_decay()),
        )

    def layer(self, name: str) -> int | None:
        """Return the layer of a parameter: 0 before the blocks, i + 1 in block i, None after or outside of them."""
        if name.startswith(self.also_layer_0):
            return 0
        if not name.startswith(self.prefix):
            return None
        inside = name.removeprefix(self.prefix)
        if re.match(self.stem, inside):
            return 0
        block = re.match(self.blocks, inside)
        return None if block is None else int(block[1]) + 1

    def has_decay(self, name: str, ndim: int) -> bool:
        """Return whether a parameter has weight decay: matrices and larger tables do, vectors and biases do not."""
        # Decay pulls a matrix towards simpler functions. For biases and the factors of norms it would only shift or
        # shrink activations.
        excluded = name.startswith(self.prefix) and name.removeprefix(self.prefix) in self.no_decay
        return ndim > 1 and not name.endswith(".bias") and (self.decay_tokens or not excluded)


def layer_decay_groups(
    model: nn.Module,
    base_lr: float,
    weight_decay: float,
    decay_rate: float = 1.0,
    rule: GroupingRule | None = None,
) -> list[dict]:
    """Group the trainable parameters by learning rate and weight decay, in the order in which the model names them.

    The inputs of the backbone (patch embedding, tokens, position table) are layer 0, block i is layer i + 1, and
    everything else, in particular the heads, is layer depth + 1.

    Args:
        model: The model; only names and shapes are used.
        base_lr: Learning rate of the last layer; layer k has base_lr * decay_rate ** (depth + 1 - k).
        weight_decay: Weight decay of the parameters that have one.
        decay_rate: Factor between neighbouring layers, above 0 and at most 1; 1 is the same rate everywhere.
        rule: Assignment to layers; by default that of the model's backbone.

    Returns:
        Groups with "params", "lr" and "weight_decay", for an optimizer.

    Raises:
        InputError: A rate out of range, or a model without the blocks that `rule` expects.
    """
    if not 0 < decay_rate <= 1:
        raise InputError(f"decay_rate={decay_rate} is out of range; give a number above 0 and at most 1")
    if rule is None:
        rule = GroupingRule.of_model(model)
    layers = {name: rule.layer(name) for name, _ in model.named_parameters()}
    depth = max((layer for layer in layers.values() if layer), default=0)
    if decay_rate < 1 and depth == 0:
        raise InputError(
            f"decay_rate={decay_rate} needs parameters {rule.prefix}blocks.0.*, which this model does not have; use "
            "decay_rate=1.0, or a backbone that lists its blocks (docs/howto/extend.md)"
        )
    groups: dict[tuple[float, float], dict] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        layer = layers[name]
        # Early layers of a pre-trained backbone are general and change least; the new head learns at the full rate.
        distance = 0 if layer is None else depth + 1 - layer
        lr = base_lr * decay_rate**distance
        decay = weight_decay if rule.has_decay(name, parameter.ndim) else 0.0
        group = groups.setdefault((lr, decay), {"params": [], "lr": lr, "weight_decay": decay})
        group["params"].append(parameter)
    return list(groups.values())


def layer_decay(num_layers: int, lr_decay_rate: float) -> Callable[[str], float]:
    """Return the learning-rate factor by parameter name, for `lr_factor_func` of Detectron2's parameter groups.

    Position and patch embedding are layer 0, block i is layer i + 1, everything else (pyramid, RPN, heads) is layer
    `num_layers` + 1; the factor is `lr_decay_rate` ** (`num_layers` + 1 - layer). Source: ViTDet paper, appendix A.2.
    """
    return partial(get_vit_lr_decay_rate, num_layers=num_layers, lr_decay_rate=lr_decay_rate)


def build_optimizer(cfg: DictConfig, model: nn.Module) -> torch.optim.Optimizer:
    """Build the optimizer of `cfg.optimizer` over the trainable parameters of `model`.

    With `train.lr_batch_size`, learning rates are scaled linearly with the batch size.

    Raises:
        InputError: A layer decay that does not fit the blocks of the model.
    """
    _check_layer_decay(cfg, model)
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    del cfg.optimizer.params.model
    factor = lr_factor(cfg)
    for group in optimizer.param_groups:
        group["lr"] *= factor
    # Config lists would be pickled into checkpoints, which could then not be read as plain weights.
    for settings in (optimizer.defaults, *optimizer.param_groups):
        for name, value in settings.items():
            if isinstance(value, ListConfig):
                settings[name] = tuple(value)
    return optimizer


def lr_factor(cfg: DictConfig) -> float:
    """Return the factor of all learning rates: the batch size divided by `train.lr_batch_size`, 1 if that is 0."""
    batch_size = OmegaConf.select(cfg, "train.lr_batch_size", default=None)
    return cfg.dataloader.train.total_batch_size / batch_size if batch_size else 1.0


def _check_layer_decay(cfg: DictConfig, model: nn.Module) -> None:
    """Check layer decay with Detectron2's groups, which would ignore a wrong number of layers or other names."""
    factor_of = instantiate(cfg.optimizer.params.get("lr_factor_func"))
    if getattr(factor_of, "func", None) is not get_vit_lr_decay_rate:
        return
    num_layers, rate = factor_of.keywords["num_layers"], factor_of.keywords["lr_decay_rate"]
    if rate == 1:
        return
    for prefix, backbone in require_backbones(model, f"optimizer.params.lr_factor_func.lr_decay_rate={rate}"):
        depth = len(backbone.blocks)
        first = f"{prefix}.blocks.0.weight" if prefix else "blocks.0.weight"
        if depth > num_layers or factor_of(first) != rate**num_layers:
            raise InputError(
                f"the optimizer's layer decay is for {num_layers} blocks below backbone.*, the model has {depth} in "
                f"{prefix or 'the model itself'}; set optimizer.params.lr_factor_func.num_layers={depth}"
            )
        if depth < num_layers:
            logger.warning(
                "The layer decay is for %d blocks, the model has %d: all of them learn more slowly than meant; set "
                "optimizer.params.lr_factor_func.num_layers=%d",
                num_layers,
                depth,
                depth,
            )
