"""Facts about a segmentation model that the names and shapes of its weights show, for `inspect`."""

from collections.abc import Mapping

from torch import Tensor

from eva_engine.inspection.weight_facts import count_layers, describe_classes, find_weight


def describe_weights(weights: Mapping[str, Tensor]) -> list[str | None]:
    """Describe classes and decoder, as far as the weights have a Mask2Former head."""
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
