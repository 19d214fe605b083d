"""The frozen teacher of masked image modelling, whose patch features the student predicts."""

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class FrozenTeacher:
    """Hold a teacher that gives patch features and is never trained, saved, averaged or sharded.

    This class is deliberately not an `nn.Module`, so that the teacher does not become a submodule of the student. The
    teacher is moved to the device of its input.

    Args:
        module: Maps normalised pixels [B, 3, H, W] to patch features [B, N, D] in row-major order. It is frozen and put
            in evaluation mode.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module.eval().requires_grad_(False)
        for parameter in module.parameters():
            # Under `deferred_init`, an initialiser runs when its parameter is first read, or at the end for the
            # parameters of the student. The teacher is not among those, so an empty slice is read here.
            parameter.detach().flatten()[:0].clone()

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the features [B, N, D] of normalised pixels [B, 3, H, W], on their device and without gradients."""
        if self._device not in (None, pixels.device):
            self.module.to(pixels.device)
        return self.module(pixels)

    @property
    def _device(self) -> torch.device | None:
        """Device of the teacher; None if it has neither parameters nor buffers."""
        for tensors in (self.module.parameters(), self.module.buffers()):
            for tensor in tensors:
                return tensor.device
        return None

    def __deepcopy__(self, memo: dict[int, Any]) -> "FrozenTeacher":
        # Copies of the student, such as its moving average, use the same teacher.
        return self


def lacks_values(weights: str | os.PathLike | Mapping[str, Tensor]) -> bool:
    """Return whether weights are a missing file, but not needed, because a teacher is built on the meta device."""
    is_missing = not isinstance(weights, Mapping) and not os.path.exists(weights)
    return is_missing and torch.get_default_device().type == "meta"


def load_frozen_weights(tower: nn.Module, weights: Mapping[str, Tensor]) -> str | None:
    """Assign `weights` in float32 to `tower`, which may be on the meta device; freeze it and set evaluation mode.

    Returns:
        None on success. Otherwise the name of an entry that is missing, unexpected or of another shape; in that case no
        weight was assigned.
    """
    expected = tower.state_dict()
    wrong = sorted(expected.keys() ^ weights.keys())
    wrong += [name for name in expected if name in weights and weights[name].shape != expected[name].shape]
    if wrong:
        return wrong[0]
    tower.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    tower.eval().requires_grad_(False)
    return None
