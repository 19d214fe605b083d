"""Mixed precision: autocast for the forward pass, and for float16 a dynamic loss scale against underflow."""

import torch
from omegaconf import DictConfig

from eva_backbone.errors import check_choice

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class Precision:
    """Precision of a run's forward and backward passes.

    Args:
        amp: `train.amp` of the recipe.
        device_type: "cuda" or "cpu".

    Raises:
        InputError: An unknown dtype.
    """

    def __init__(self, amp: DictConfig, device_type: str) -> None:
        check_choice("train.amp.dtype", amp.dtype, tuple(_DTYPES))
        self.device_type = device_type
        self.enabled = bool(amp.enabled)
        self.dtype = _DTYPES[amp.dtype]
        # A disabled scaler returns losses unchanged and always takes the optimizer's step.
        self.scaler = torch.amp.GradScaler(device_type, enabled=self.enabled and self.dtype == torch.float16)

    def autocast(self) -> torch.autocast:
        """Return the context for a forward pass."""
        return torch.autocast(self.device_type, dtype=self.dtype, enabled=self.enabled)

    def __str__(self) -> str:
        if not self.enabled:
            return "float32"
        scaled = " with a dynamic loss scale" if self.scaler.is_enabled() else ""
        return f"{str(self.dtype).removeprefix('torch.')} autocast{scaled}"
