"""Outputs of a model that can be compared."""

from torch import Tensor

from eva_backbone.errors import InputError


def finite_outputs(outputs: Tensor, name: str) -> Tensor:
    """`outputs` of any shape as float32, detached.

    Args:
        outputs: what a model gives.
        name: of them, in the plural.

    Raises:
        InputError: outputs that are no numbers, whose comparisons would all be wrong silently.
    """
    outputs = outputs.detach().float()
    if not outputs.isfinite().all():
        raise InputError(
            f"the model gives {name} that are no finite numbers; give weights of a run that has not diverged, or "
            "parameters of float32."
        )
    return outputs
