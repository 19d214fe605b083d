"""Features that a model gives for a batch, on the way to scores."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eva_backbone.errors import InputError


def finite_features(outputs: Mapping[str, Tensor], name: str) -> Tensor:
    """`outputs[name]` as float32 [B, D], detached.

    Raises:
        InputError: features that are no numbers, whose comparisons would all be wrong silently.
    """
    features = outputs[name].detach().float()
    if not features.isfinite().all():
        raise InputError(
            f"the model gives {name} that are no finite numbers; give weights of a run that has not diverged, or "
            "parameters of float32."
        )
    return features


def rows_that_count(batch: Mapping[str, Any]) -> list[int]:
    """Numbers of the rows of a batch of `FeatureLoader` that are no repetitions."""
    return [row for row, repeated in enumerate(batch["repeated"].tolist()) if not repeated]
