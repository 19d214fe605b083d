"""Check the outputs of a model before they are compared or ranked."""

from torch import Tensor

from eva_backbone.errors import InputError


def finite_outputs(outputs: Tensor, name: str) -> Tensor:
    """Return `outputs` as float32, detached from the graph, after checking that all values are finite.

    Comparisons with NaN are always false, so non-finite outputs would give wrong results without any error.

    Args:
        outputs: Outputs of a model, of any shape.
        name: Plural noun for the outputs in the error message, such as "scores".

    Raises:
        InputError: An output is NaN or infinite.
    """
    outputs = outputs.detach().float()
    if not outputs.isfinite().all():
        raise InputError(
            f"the model produced non-finite {name}; use weights of a run that has not diverged, or float32 parameters."
        )
    return outputs
