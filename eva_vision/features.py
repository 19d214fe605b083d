"""Feature maps of a model's backbone."""

from collections.abc import Iterable
from typing import Any, SupportsIndex

import torch

from eva_backbone.errors import InputError
from eva_engine.prediction.predictor import Predictor

from .prediction_loop import sample_batches
from .sources import Source


@torch.inference_mode()
def block_features(
    predictor: Predictor[Any, Any], sources: Iterable[Source], blocks: int | Iterable[int]
) -> list[list[torch.Tensor]]:
    """Return for each source the features [C, h, w] or [C, t, h, w] after each block; see `Model.features`.

    Raises:
        InputError: A source cannot be read, or there is no such block.
    """
    predictor = predictor.for_features()
    model: Any = predictor.model
    listed = _block_indices(blocks, model.depth)
    selected = sorted(set(listed))  # the model returns its blocks in its own order, and each of them once
    parameter = next(model.parameters())
    features = []
    for batch in sample_batches(predictor, sources, predictor.batch_size, keep_images=False):
        # One by one: images of a batch may have different sizes.
        for _, sample in batch:
            pixels = predictor.backbone_input(sample).to(parameter.device, parameter.dtype)
            maps = model.forward_intermediates(pixels, indices=selected, intermediates_only=True)
            map_of = {index: block_map[0].float().cpu() for index, block_map in zip(selected, maps, strict=True)}
            features.append([map_of[index] for index in listed])
    return features


def _block_indices(blocks: Any, depth: int) -> list[int]:
    """Return the blocks that the user has given as non-negative indices, in the same order."""
    listed = [blocks]
    if isinstance(blocks, Iterable) and not isinstance(blocks, str | bytes):
        listed = list(blocks)
    for index in listed:
        is_index = isinstance(index, SupportsIndex) and not isinstance(index, bool)
        if not is_index or not -depth <= int(index) < depth:
            raise InputError(
                f"there is no block {index!r}; give the indices of blocks, whole numbers from 0 to {depth - 1}."
            )
    if not listed:
        raise InputError("blocks is an empty list; give the index of a block, or several.")
    return [int(index) % depth for index in listed]
