"""Parameter groups of the published segmentation recipes."""

from eva_engine.training.optimization import GroupingRule

# Parts of the head whose names the published recipe mistakes for embeddings of the input.
_QUERY_PARTS = ("mask_embed", "cls_embed", "level_embed", "query_")


def published_grouping() -> GroupingRule:
    """Assign parameters to layers as the published recipes do.

    Mask2Former's classifier and queries have the learning rate of the patch embedding, because the code of the release
    looks for "embed" in their names. Class token and position table have weight decay, with both heads, because that
    code looks for their names without "backbone.". Without a rule, classifier and queries learn at the rate of the
    head, and class token and position table have no weight decay.
    """
    also_layer_0 = tuple(f"decode_head.{part}" for part in _QUERY_PARTS)
    return GroupingRule(prefix="backbone.", also_layer_0=also_layer_0, decay_tokens=True)
