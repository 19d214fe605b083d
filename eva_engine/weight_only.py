"""Hold the weights of layers in a smaller type than the one in which they compute.

For processors without instructions for the smaller type: the model takes half the memory, and each layer casts its
weight to float32 when it is called, which takes little of the time of its product if the product has a few hundred
rows or more. Activations and everything else stay in float32, so the only difference to a model in float32 is the
rounding of the weights.
"""

from collections.abc import Collection
from functools import cache
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.conv import _ConvNd


def hold_weights(model: nn.Module, dtype: torch.dtype, kept: Collection[int] = ()) -> None:
    """Hold the weights of linear, convolutional and embedding layers in a smaller type, in place.

    Weights keep their names and parameter objects. The layers become instances of subclasses of their classes.

    Args:
        model: Model in float32.
        dtype: Type of the weights.
        kept: Ids of parameters that stay in float32.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | _ConvNd | nn.Embedding) and id(module.weight) not in kept:
            module.weight.data = module.weight.data.to(dtype)
            kind: Any = type(module)
            module.__class__ = _casting_class(kind)


@cache
def _casting_class(kind: Any) -> Any:
    """Return a subclass of a layer that computes in float32 with a weight of any type."""
    # A property serves layers with a forward of their own, and modules that read the weight of another one, too.
    members: dict[str, Any] = {"weight": property(lambda layer: layer._parameters["weight"].float())}
    if issubclass(kind, nn.Embedding):
        members["forward"] = _look_up
    return type(kind.__name__, (kind,), members)


def _look_up(layer: nn.Embedding, ids: torch.Tensor) -> torch.Tensor:
    """Cast the rows that are looked up instead of the whole table."""
    return F.embedding(ids, cast(torch.Tensor, layer._parameters["weight"]), layer.padding_idx).float()
