"""Exponential moving average (EMA) of a model's weights."""

from omegaconf import DictConfig
from timm.utils import ModelEmaV3
from torch import nn

from eva_backbone.errors import InputError


def build_ema(settings: DictConfig, model: nn.Module) -> ModelEmaV3 | None:
    """Build the moving average of `model`, which starts at its current weights; None unless `settings.enabled`.

    The average is a second model, `ema.module`, in evaluation mode, on the device and in the dtype of `model`. It has a
    copy of every parameter, including frozen ones. Floating-point buffers are averaged as well, other buffers copied.

    The caller
        * loads the weights into `model`, freezes parameters and adds adapters before this call, and wraps the model in
          DDP after it;
        * with FSDP, makes this call before `fully_shard`, because a sharded model cannot be copied, and then applies
          the same `fully_shard` calls to `ema.module`, so that the average is sharded like the model;
        * calls `ema.update(model)`, without the DDP wrapper, after each update of the weights;
        * saves `ema.module.state_dict()`, which has the names of `model`, and restores it with
          `ema.module.load_state_dict`.

    Args:
        settings: `train.ema` of the recipe.
        model: The model, without a DDP wrapper.

    Raises:
        InputError: A decay out of range.
    """
    if not settings.enabled:
        return None
    if not 0 <= settings.decay < 1:
        raise InputError(f"train.ema.decay={settings.decay} is out of range; give at least 0 and below 1, as in 0.9999")
    # foreach=False: fused operations refuse a mixture of sharded parameters and unsharded buffers.
    return ModelEmaV3(model, decay=settings.decay, foreach=False)
