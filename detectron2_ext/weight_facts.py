"""Facts about a detector that the names and shapes of its weights show, for `inspect`."""

from collections.abc import Mapping

from torch import Tensor

from eva_engine.inspection.weight_facts import describe_classes


def describe_weights(weights: Mapping[str, Tensor]) -> list[str | None]:
    """Describe the heads of a detector, as far as the weights have some."""
    if not any(name.startswith("roi_heads.") for name in weights):
        return []
    has_masks = any(".mask_head." in name for name in weights)
    return [
        "with masks" if has_masks else "boxes only",
        # one output is the background
        describe_classes(weights, r"roi_heads\.box_predictor(\.0)?\.cls_score\.weight", num_extra=1),
    ]
