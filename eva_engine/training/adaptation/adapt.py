"""All adaptations of a recipe, in the order that they require."""

import logging
from collections.abc import Mapping
from typing import Any

from torch import nn

from eva_backbone.errors import InputError

from .activation_checkpointing import checkpoint_activations
from .freezing import disable_drop_path_of_frozen_blocks, freeze_parameters, trained_below_frozen_blocks
from .lora import add_lora

logger = logging.getLogger(__name__)


def adapt_model(model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Apply `freeze`, `lora` and `activation_checkpointing` of `settings` (the recipe's `train`) to `model`, in place.

    Call it once per model: after pre-trained weights are loaded, before those of a run with adapters, and before
    anything is built that holds the parameters (optimizer, moving average, DistributedDataParallel, FSDP). DDP needs no
    `find_unused_parameters` for frozen parameters. The number of trained parameters is logged.

    Raises:
        InputError: A setting that matches nothing in the model, a library that is not installed, nothing left to train.
    """
    freeze_parameters(model, settings["freeze"])
    add_lora(model, settings["lora"])
    checkpoint_activations(model, settings["activation_checkpointing"])
    disable_drop_path_of_frozen_blocks(model)
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    if trained == 0:
        raise InputError("train.freeze leaves no parameter to train; drop some of its patterns")
    logger.info("%s of %s parameters are trained (%.2f %%)", f"{trained:,}", f"{total:,}", 100 * trained / total)
    for name, num_blocks in trained_below_frozen_blocks(model):
        logger.warning(
            "The backward pass runs through %d frozen block(s) and keeps their activations, because %s below them is "
            "trained; freeze it too with train.freeze to avoid that",
            num_blocks,
            name,
        )
