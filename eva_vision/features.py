"""Feature maps of a model's backbone."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from eva_engine.prediction.predictor import Predictor

from .prediction_loop import sample_batches
from .sources import Source


@torch.inference_mode()
def block_features(
    predictor: Predictor[Any, Any], sources: Iterable[Source], blocks: Sequence[int]
) -> list[list[torch.Tensor]]:
    """Return for each source the features [C, h, w] or [C, t, h, w] after each block; see `Model.features`.

    Raises:
        InputError: A source cannot be read, or there is no such block.
    """
    predictor = predictor.for_features()
    model: Any = predictor.model
    parameter = next(model.parameters())
    features = []
    for batch in sample_batches(predictor, sources, predictor.batch_size, keep_images=False):
        # One by one: images of a batch may have different sizes.
        for _, sample in batch:
            pixels = predictor.backbone_input(sample).to(parameter.device, parameter.dtype)
            maps = model.forward_intermediates(pixels, indices=list(blocks), intermediates_only=True)
            features.append([block_map[0].float().cpu() for block_map in maps])
    return features
