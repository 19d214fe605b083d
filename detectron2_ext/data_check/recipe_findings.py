"""What does not fit between a dataset and the recipe: numbers of objects, sizes of boxes, anchors."""

from collections.abc import Iterator

import numpy as np
from omegaconf import DictConfig, ListConfig, OmegaConf

from detectron2_ext.data.drawn_example import box_example
from eva_engine.data_check.findings import MAX_EXAMPLES, Finding, Severity

from .anchor_fit import anchor_shapes, best_overlaps, image_scales, sample_objects
from .object_table import ObjectTable

_MIN_OVERLAP = 0.5
# Of COCO's objects 10 to 20 % overlap with no anchor of the published recipes that much: small and very long ones.
_MANY_WITHOUT_ANCHOR = 0.3
_SMALL_SIDE = 4.0  # pixels of the resized image: one position of the finest feature map of the recipes
_MANY_SMALL = 0.02


def check_recipe(cfg: DictConfig, table: ObjectTable, part: str) -> Iterator[Finding]:
    """Yield what does not fit between the objects of `table` and the recipe `cfg`."""
    if not len(table.boxes):
        return
    yield from _check_detection_limit(cfg, table, part)
    sample = sample_objects(table)
    images = table.image[sample]
    shapes = table.boxes[sample, 2:] * image_scales(cfg, table.sizes)[images, None]
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
    anchors = anchor_shapes(cfg)
    if len(anchors):
        yield from _check_anchors(anchors, shapes, table, sample, part)


def _check_detection_limit(cfg: DictConfig, table: ObjectTable, part: str) -> Iterator[Finding]:
    limit = detection_limit(cfg)
    if limit is None:
        return
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
            f"raise test_topk_per_image in model.roi_heads to {int(table.per_image.max())} or more",
            tuple(examples),
            part,
        )


def detection_limit(cfg: DictConfig) -> int | None:
    """Return the largest number of detections in an image that a recipe allows; None if unknown."""
    predictors = OmegaConf.select(cfg, "model.roi_heads.box_predictors", default=None)
    if predictors is None:
        predictors = [OmegaConf.select(cfg, "model.roi_heads.box_predictor", default=None)]
    elif not isinstance(predictors, list | ListConfig):
        predictors = [predictors]
    limits = [node.test_topk_per_image for node in predictors if node is not None and "test_topk_per_image" in node]
    return min(limits) if limits else None


def _check_anchors(
    anchors: np.ndarray, shapes: np.ndarray, table: ObjectTable, sample: np.ndarray, part: str
) -> Iterator[Finding]:
    overlaps = best_overlaps(anchors, shapes)
    missed = overlaps < _MIN_OVERLAP
    if missed.mean() <= _MANY_WITHOUT_ANCHOR:
        return
    sides = np.sqrt(shapes[missed].prod(axis=1))
    smallest = float(np.sqrt(anchors.prod(axis=1)).min())
    low, high = np.quantile(sides, (0.05, 0.95)).tolist()
    yield Finding(
        "anchors",
        Severity.WARNING,
        f"{missed.mean():.0%} of the boxes overlap with no anchor of the recipe by more than an IoU of {_MIN_OVERLAP}; "
        f"at its image size their side is {low:.0f} to {high:.0f} pixels, that of the smallest anchor {smallest:.0f}",
        round(missed.mean() * len(table.boxes)),
        "change model.proposal_generator.anchor_generator.sizes and aspect_ratios, or the image size",
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
