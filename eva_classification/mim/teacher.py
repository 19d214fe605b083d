"""The model whose features are predicted."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn


class FrozenTeacher:
    """A model that gives patch features and is never trained, saved, averaged or split with the model that holds it.

    It is no `nn.Module` for that reason. It follows its input to a device.

    Args:
        module: normalised pixels [B, 3, H, W] to features [B, N, D] of the patches in row order. It is frozen and put
            in evaluation mode.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module.eval().requires_grad_(False)
        for parameter in module.parameters():
            # Inside `deferred_init` an initialiser runs when something reads what it fills: nobody else will.
            parameter.detach().flatten()[:0].clone()

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [B, 3, H, W] to features [B, N, target_dim] on their device, without gradients."""
        first = next(chain(self.module.parameters(), self.module.buffers()), None)
        if first is not None and first.device != pixels.device:
            self.module.to(pixels.device)
        return self.module(pixels)

    def __deepcopy__(self, memo: dict[int, Any]) -> "FrozenTeacher":
        return self


def freeze_with(tower: nn.Module, weights: Mapping[str, Tensor]) -> str | None:
    """Assign `weights` to `tower`, which may be on the meta device, and freeze it in evaluation mode.

    Returns:
        None; or, with nothing assigned, the name of an entry that is missing, unknown or of another shape.
    """
    expected = tower.state_dict()
    wrong = sorted(expected.keys() ^ weights.keys())
    wrong += [name for name in expected if name in weights and weights[name].shape != expected[name].shape]
    if wrong:
        return wrong[0]
    tower.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    tower.eval().requires_grad_(False)
    return None
