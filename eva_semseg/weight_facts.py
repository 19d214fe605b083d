"""Facts about a segmentation model that the names and shapes of its weights show, for `inspect`."""

from collections.abc import Mapping

from torch import Tensor

from eva_engine.inspection.weight_facts import count_layers, describe_classes, find_weight


def describe_weights(weights: Mapping[str, Tensor]) -> list[str | None]:
    """Describe classes and decoder, as far as the weights have a Mask2Former or a UperNet head."""
    return _describe_mask2former(weights) + _describe_upernet(weights)


def _describe_mask2former(weights: Mapping[str, Tensor]) -> list[str | None]:
    # one output is "no object"
    facts = [describe_classes(weights, r"decode_head\.cls_embed\.weight", num_extra=1)]
    depth, queries = (
        count_layers(weights, r".*transformer_decoder\.layers"),
        find_weight(weights, r".*query_embed\.weight"),
    )
    if depth:
        facts.append(f"{depth} decoder layers")
        if queries is not None:
            facts.append(f"{len(queries)} queries")
    return facts


def _describe_upernet(weights: Mapping[str, Tensor]) -> list[str | None]:
    classifier = find_weight(weights, r"decode_head\.conv_seg\.weight")
    if classifier is None or classifier.ndim != 4:
        return []
    num_classes, width = classifier.shape[:2]
    return [f"{num_classes} classes", f"a head of width {width}"]
