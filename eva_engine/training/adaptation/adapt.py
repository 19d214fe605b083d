"""All adaptations of a recipe, in the order they need."""

import logging
from collections.abc import Mapping
from typing import Any

from torch import nn

from eva_backbone.errors import InputError

from .activation_checkpointing import checkpoint_activations
from .freezing import freeze_parameters, stop_noise_of_frozen_blocks, trained_in_front_of_frozen_blocks
from .lora import add_lora

logger = logging.getLogger(__name__)


def adapt_model(model: nn.Module, settings: Mapping[str, Any]) -> None:
    """Apply `freeze`, `lora` and `activation_checkpointing` of `settings` (the recipe's `train`) to `model`, in place.

    Once per model, with plain parameter names (so before weights of an adapted run are loaded, after plain ones), and
    before anything that holds its parameters is built: optimizer, moving average, DistributedDataParallel or FSDP.
    Frozen parameters have no part in the last two: DDP needs no `find_unused_parameters`. One line of the log says how
    many parameters are trained.

    Raises:
        InputError: a setting that fits nothing in the model, a library that is not installed, nothing left to train.
    """
    freeze_parameters(model, settings["freeze"])
    add_lora(model, settings["lora"])
    checkpoint_activations(model, settings["activation_checkpointing"])
    stop_noise_of_frozen_blocks(model)
    total = sum(parameter.numel() for parameter in model.parameters())
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    if trained == 0:
        raise InputError("train.freeze leaves no parameter to train; drop some of its patterns")
    logger.info("%s of %s parameters are trained (%.2f %%)", f"{trained:,}", f"{total:,}", 100 * trained / total)
    for name, num_blocks in trained_in_front_of_frozen_blocks(model):
        logger.warning(
            "The backward pass runs through %d frozen block(s) and keeps their activations, because %s in front of "
            "them is trained; train.freeze can name that too",
            num_blocks,
            name,
        )
