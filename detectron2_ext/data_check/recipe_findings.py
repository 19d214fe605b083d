"""What does not fit between a dataset and the recipe: numbers of objects, sizes of boxes, anchors."""

from collections.abc import Iterator

import numpy as np
from omegaconf import DictConfig, OmegaConf

from detectron2_ext.data.drawn_example import box_example
from eva_engine.data_check.findings import MAX_EXAMPLES, Finding, Severity

from ..data.box_statistics import COVERED, anchor_levels, anchor_shapes, best_overlaps, resize_factors
from ..fitting import fit_anchors
from ..fitting.detection_limit import detection_limit, limit_key, needed_limit
from .object_table import ObjectTable

_MAX_SAMPLE = 200_000
# Of COCO's objects 10 to 20 % overlap with no anchor of the published recipes that much: small and very long ones.
_MANY_WITHOUT_ANCHOR = 0.3
_SMALL_SIDE = 4.0  # pixels of the resized image: one position of the finest feature map of the recipes
_MANY_SMALL = 0.02


def check_recipe(cfg: DictConfig, table: ObjectTable, part: str) -> Iterator[Finding]:
    """Yield what does not fit between the objects of `table` and the recipe `cfg`."""
    if not len(table.boxes):
        return
    yield from _check_detection_limit(cfg, table, part)
    sample = _sample_objects(table)
    shapes = table.boxes[sample, 2:] * resize_factors(cfg, table.sizes)[table.image[sample]]
    small = shapes.min(axis=1) < _SMALL_SIDE
    if small.mean() > _MANY_SMALL:
        yield Finding(
            "small-objects",
            Severity.WARNING,
            f"{small.mean():.0%} of the boxes are narrower than {_SMALL_SIDE:.0f} pixels at the recipe's image size",
            round(small.mean() * len(table.boxes)),
            "use a larger image size, or train and predict on slices of the images",
            _examples(table, sample[small]),
            part,
        )
    if OmegaConf.select(cfg, "model.proposal_generator.anchor_generator.sizes", default=None) is not None:
        yield from _check_anchors(cfg, shapes, table, sample, part)


def _sample_objects(table: ObjectTable) -> np.ndarray:
    """Return the indices of all objects, or of a random sample of 200,000 that is the same every time."""
    total = len(table.boxes)
    if total <= _MAX_SAMPLE:
        return np.arange(total)
    return np.sort(np.random.default_rng(0).choice(total, _MAX_SAMPLE, replace=False))


def _check_detection_limit(cfg: DictConfig, table: ObjectTable, part: str) -> Iterator[Finding]:
    limit = detection_limit(cfg)
    above = np.flatnonzero(table.per_image > limit)
    if len(above):
        most = above[np.argsort(-table.per_image[above], kind="stable")][:MAX_EXAMPLES].tolist()
        examples = []
        for image in most:
            boxes = table.boxes[table.image == image].tolist()
            examples.append(box_example(table.images[image], boxes, f"{len(boxes)} objects"))
        lost = int((table.per_image[above] - limit).sum())
        yield Finding(
            "more-than-detected",
            Severity.WARNING,
            f"{len(above)} of {len(table.images)} images have more objects than the recipe detects in an image, "
            f"{limit}; {lost} of {len(table.boxes)} objects cannot be found",
            len(above),
            f"give {limit_key(cfg)}={needed_limit(int(table.per_image.max()))}",
            tuple(examples),
            part,
        )


def _check_anchors(
    cfg: DictConfig, shapes: np.ndarray, table: ObjectTable, sample: np.ndarray, part: str
) -> Iterator[Finding]:
    anchors = anchor_shapes(cfg)
    missed = best_overlaps(shapes, anchors) < COVERED
    if missed.mean() <= _MANY_WITHOUT_ANCHOR:
        return
    low, high = np.quantile(np.sqrt(shapes[missed].prod(axis=1)), (0.05, 0.95)).tolist()
    smallest = float(np.sqrt(anchors.prod(axis=1)).min())
    generator = cfg.model.proposal_generator.anchor_generator
    levels, ratios = anchor_levels(generator.sizes), anchor_levels(generator.aspect_ratios)
    sizes, _ = fit_anchors(shapes, len(levels), len(ratios[0]), len(levels[0]))
    yield Finding(
        "anchors",
        Severity.WARNING,
        f"{missed.mean():.0%} of the boxes overlap with no anchor of the recipe by more than an IoU of {COVERED}; "
        f"at its image size their side is {low:.0f} to {high:.0f} pixels, that of the smallest anchor {smallest:.0f}",
        round(missed.mean() * len(table.boxes)),
        "use images of another size, or give "
        f"'model.proposal_generator.anchor_generator.sizes={str(sizes).replace(' ', '')}'",
        _examples(table, sample[missed]),
        part,
    )


def _examples(table: ObjectTable, objects: np.ndarray) -> tuple:
    """Return the images of the given objects, each with all of these objects in it."""
    images = list(dict.fromkeys(table.image[objects].tolist()))[:MAX_EXAMPLES]
    examples = []
    for image in images:
        boxes = table.boxes[objects[table.image[objects] == image]].tolist()
        examples.append(box_example(table.images[image], boxes, f"{len(boxes)} of {table.per_image[image]} objects"))
    return tuple(examples)
