"""How well the anchors of a recipe fit the boxes of a dataset, at the image size of the recipe."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from detectron2.config import instantiate
from detectron2.data import transforms as T
from omegaconf import DictConfig, OmegaConf

from .object_table import ObjectTable

_MAX_SAMPLE = 200_000


def anchor_shapes(cfg: DictConfig) -> np.ndarray:
    """Return width and height in pixels of the anchors of a recipe on all levels, [A, 2]; [0, 2] if it has none."""
    generator = OmegaConf.select(cfg, "model.proposal_generator.anchor_generator", default=None)
    if generator is None or "sizes" not in generator or "aspect_ratios" not in generator:
        return np.zeros((0, 2))
    sizes, ratios = _flatten(generator.sizes), _flatten(generator.aspect_ratios)
    shapes = []
    for size in sizes:
        for ratio in ratios:  # height / width
            shapes.append((size / ratio**0.5, size * ratio**0.5))
    return np.array(shapes, dtype=np.float64).reshape(-1, 2)


def _flatten(values: Any) -> list[float]:
    """Return the numbers of Detectron2's lists, which are nested if levels differ."""
    numbers: list[float] = []
    for value in values:
        numbers += [float(value)] if isinstance(value, int | float) else _flatten(value)
    return numbers


def image_scales(cfg: DictConfig, sizes: np.ndarray) -> np.ndarray:
    """Return the factor by which the recipe resizes each image for the evaluation, [number of images].

    Args:
        cfg: The recipe.
        sizes: Width and height of each image in pixels, [number of images, 2].
    """
    augmentations = [
        instantiate(node) for node in OmegaConf.select(cfg, "dataloader.test.mapper.augmentations", default=None) or ()
    ]
    unique, index = np.unique(sizes, axis=0, return_inverse=True)
    factors = np.array([_factor(augmentations, width, height) for width, height in unique.tolist()])
    return factors[index.reshape(-1)] if len(factors) else np.zeros(0)


def _factor(augmentations: Sequence[T.Augmentation], width: int, height: int) -> float:
    size = (height, width)
    for augmentation in augmentations:
        if isinstance(augmentation, T.ResizeShortestEdge | T.Resize):
            # Only the shape is looked at, and a broadcast array takes no memory.
            transform = augmentation.get_transform(np.broadcast_to(np.uint8(0), (*size, 3)))
            if isinstance(transform, T.ResizeTransform):
                size = (transform.new_h, transform.new_w)
    return (size[0] * size[1] / (width * height)) ** 0.5


def best_overlaps(anchors: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Return the largest IoU of each box with an anchor at the best position, [N].

    Args:
        anchors: Width and height of the anchors, [A, 2].
        shapes: Width and height of the boxes, [N, 2].
    """
    best = np.zeros(len(shapes))
    area = shapes[:, 0] * shapes[:, 1]
    for width, height in anchors.tolist():
        both = np.minimum(shapes[:, 0], width) * np.minimum(shapes[:, 1], height)
        np.maximum(best, both / (area + width * height - both), out=best)
    return best


def sample_objects(table: ObjectTable) -> np.ndarray:
    """Return the indices of all objects, or of a random sample of 200,000 that is the same every time."""
    total = len(table.boxes)
    if total <= _MAX_SAMPLE:
        return np.arange(total)
    return np.sort(np.random.default_rng(0).choice(total, _MAX_SAMPLE, replace=False))
