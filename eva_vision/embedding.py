"""Features of images and texts that can be compared: EVA-CLIP."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from eva_backbone.errors import InputError

from .prediction_loop import sample_batches
from .sources import find_sources

if TYPE_CHECKING:
    from .model import Model

_TEXTS_PER_PASS = 256


class Embeddings(NamedTuple):
    """Features of length 1, in float32; the products `images @ texts.T` are cosine similarities.

    Attributes:
        images: [N, D], or None if no images were given.
        texts: [M, D], or None if no texts were given.
    """

    images: np.ndarray | None
    texts: np.ndarray | None


def embed(model: "Model", images: Any = None, texts: str | Sequence[str] | None = None) -> Embeddings:
    """Return the features of images and texts.

    Args:
        model: An EVA-CLIP model.
        images: See `source` of `Model.predict`.
        texts: A text or several; one that is longer than the model's context is cut.

    Raises:
        InputError: The model has no texts, a list is empty, or an image cannot be read.
    """
    from eva_clip.prediction.predictor import LabelPredictor

    predictor = model.predictor
    if not isinstance(predictor, LabelPredictor):
        raise InputError(f"a model for {model.task} has no features of texts; load an EVA-CLIP model to embed.")
    if images is None and texts is None:
        raise InputError("there is nothing to embed; give images, texts or both.")
    return Embeddings(_embed_images(predictor, images), _embed_texts(predictor, texts))


def _embed_images(predictor: Any, images: Any) -> np.ndarray | None:
    if images is None:
        return None
    parts = []
    found = find_sources(images, predictor.kinds)
    for batch in sample_batches(predictor, found.all_required(), predictor.batch_size, keep_images=False):
        parts.append(predictor.embed_images([sample for _, sample in batch]))
    if not parts:
        raise InputError("there are no images to embed; give at least one, or leave images out.")
    return np.concatenate(parts)


def _embed_texts(predictor: Any, texts: str | Sequence[str] | None) -> np.ndarray | None:
    if texts is None:
        return None
    listed = [texts] if isinstance(texts, str) else list(texts)
    if not listed:
        raise InputError("there are no texts to embed; give at least one, or leave texts out.")
    parts = []
    for start in range(0, len(listed), _TEXTS_PER_PASS):
        parts.append(predictor.embed_texts(listed[start : start + _TEXTS_PER_PASS]))
    return np.concatenate(parts)
