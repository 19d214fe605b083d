"""Moving average of a model's weights."""

from omegaconf import DictConfig
from timm.utils import ModelEmaV3
from torch import nn

from eva_backbone.errors import InputError


def build_ema(settings: DictConfig, model: nn.Module) -> ModelEmaV3 | None:
    """Average of `model` that starts at its present weights; None unless `settings.enabled`.

    The average is a second model, `ema.module`, in evaluation mode, on the device and in the dtype of `model`. It holds
    a copy of every parameter, frozen ones too. Floating-point buffers are averaged as well, others copied.

    What the caller does:
        * loads the weights into `model`, freezes and adds adapters before this call, and wraps it in DDP after it;
        * with FSDP calls this before `fully_shard`, which refuses to copy a model that it has split, and applies the
          same `fully_shard` calls to `ema.module`. The average is then split like the model;
        * calls `ema.update(model)`, without the DDP wrapper, after each update of the weights;
        * saves `ema.module.state_dict()`, which has the names of `model`, and restores it by
          `ema.module.load_state_dict`.

    Args:
        settings: `train.ema`.

    Raises:
        InputError: a decay out of range.
    """
    if not settings.enabled:
        return None
    if not 0 <= settings.decay < 1:
        raise InputError(f"train.ema.decay={settings.decay} is out of range; give at least 0 and below 1, as in 0.9999")
    # One tensor at a time: fused calls refuse a mixture of FSDP's split parameters and whole buffers.
    return ModelEmaV3(model, decay=settings.decay, foreach=False)
