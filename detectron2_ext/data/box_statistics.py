"""Sizes of annotated boxes at the size of a recipe's images, and the share of them that its anchors cover."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from detectron2.data import transforms as T
from detectron2.structures import BoxMode
from omegaconf import DictConfig, OmegaConf

from eva_engine.config.instantiation import instantiate

from .record_table import SelectedRecords

# A box without any anchor of this overlap is found badly: its features and its regression start from too far away.
COVERED = 0.5


@dataclass(frozen=True)
class BoxStatistics:
    """Sizes of the images of a data set and of their objects, without crowd regions.

    Attributes:
        image_sizes: Width and height of each image in pixels, [M, 2].
        box_sizes: Width and height of each box in pixels of its image, [N, 2].
        image_of_box: Row of the image of each box, [N].
    """

    image_sizes: np.ndarray
    box_sizes: np.ndarray
    image_of_box: np.ndarray

    @property
    def objects_per_image(self) -> np.ndarray:
        """Number of boxes of each image, [M]."""
        return np.bincount(self.image_of_box, minlength=len(self.image_sizes))

    def scaled_boxes(self, factors: np.ndarray) -> np.ndarray:
        """Return the sizes of the boxes [N, 2] after each image was resized by its `factors`, [M, 2] in x and y."""
        return self.box_sizes * factors[self.image_of_box]


def box_statistics(records: Iterable[dict]) -> BoxStatistics:
    """Return the sizes in Detectron2 dataset dicts."""
    if isinstance(records, SelectedRecords):
        return _table_statistics(records)
    image_sizes: list[tuple[int, int]] = []
    box_sizes: list[tuple[float, float]] = []
    image_of_box: list[int] = []
    for row, record in enumerate(records):
        image_sizes.append((record["width"], record["height"]))
        for annotation in record.get("annotations", ()):
            if not annotation.get("iscrowd", 0):
                box = annotation["bbox"]
                if annotation["bbox_mode"] != BoxMode.XYWH_ABS:
                    box = BoxMode.convert(list(box), annotation["bbox_mode"], BoxMode.XYWH_ABS)
                box_sizes.append((box[2], box[3]))
                image_of_box.append(row)
    return BoxStatistics(
        np.array(image_sizes, dtype=float).reshape(-1, 2),
        np.array(box_sizes, dtype=float).reshape(-1, 2),
        np.array(image_of_box, dtype=int),
    )


def _table_statistics(records: SelectedRecords) -> BoxStatistics:
    box_sizes, image_of_box = [np.zeros((0, 2))], [np.zeros(0, dtype=int)]
    for part in records.annotations():
        box_sizes.append(part.box[~part.is_crowd, 2:])
        image_of_box.append(part.image[~part.is_crowd])
    return BoxStatistics(records.image_sizes.astype(float), np.concatenate(box_sizes), np.concatenate(image_of_box))


def resize_factors(cfg: DictConfig, image_sizes: np.ndarray) -> np.ndarray:
    """Return by what a recipe multiplies the sides of images for the model.

    Augmentations of training vary around those of the evaluation, which are therefore used.

    Args:
        cfg: Recipe of a detector.
        image_sizes: Width and height of each image, [M, 2].

    Returns:
        Factors in x and y, [M, 2]; all 1 for a recipe that does not resize. If it predicts slices, these are resized
        instead of images.
    """
    slice_size = OmegaConf.select(cfg, "dataloader.inference.slice_size", default=None)
    if slice_size is not None:
        image_sizes = np.minimum(image_sizes, slice_size)
    nodes = OmegaConf.select(cfg, "dataloader.test.mapper.augmentations", default=None) or []
    augmentations = [instantiate(node) for node in nodes]
    distinct, row_of_size = np.unique(image_sizes, axis=0, return_inverse=True)
    resized = np.array([_resized(augmentations, int(width), int(height)) for width, height in distinct])
    return (resized.reshape(-1, 2) / distinct)[row_of_size.reshape(-1)]


def _resized(augmentations: Sequence[T.Augmentation | T.Transform], width: int, height: int) -> tuple[int, int]:
    for augmentation in augmentations:
        transform = augmentation
        if isinstance(augmentation, T.Augmentation):
            image = np.broadcast_to(np.uint8(0), (height, width, 3))  # of any size without memory
            transform = augmentation.get_transform(image)
        if isinstance(transform, T.ResizeTransform):
            width, height = transform.new_w, transform.new_h
    return width, height


def anchor_shapes(cfg: DictConfig) -> np.ndarray:
    """Return width and height of the anchors of a recipe of Detectron2's proposal network, all levels, [A, 2].

    An anchor of size s and aspect ratio r (height / width) has the area s * s.
    """
    generator = cfg.model.proposal_generator.anchor_generator
    sizes, ratios = _sorted_values(generator.sizes), _sorted_values(generator.aspect_ratios)
    widths = sizes[:, None] / np.sqrt(ratios)
    return np.stack([widths, widths * ratios], axis=-1).reshape(-1, 2)


def _sorted_values(values: Sequence) -> np.ndarray:
    found: set[float] = set()
    for level in anchor_levels(values):
        found.update(map(float, level))
    return np.array(sorted(found))


def anchor_levels(values: Sequence) -> Sequence[Sequence[float]]:
    """Return one list for each level; Detectron2 accepts one list for all of them."""
    return [values] if isinstance(values[0], int | float) else values


def best_overlaps(box_sizes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return the largest IoU of each box with an anchor that has the same centre.

    Args:
        box_sizes: Width and height, [N, 2].
        anchors: Width and height, [A, 2].

    Returns:
        Values between 0 and 1, [N].
    """
    best = np.zeros(len(box_sizes))
    for anchor in anchors:
        intersection = np.minimum(box_sizes, anchor).prod(axis=1)
        union = box_sizes.prod(axis=1) + anchor.prod() - intersection
        best = np.maximum(best, intersection / union)
    return best


def anchor_coverage(cfg: DictConfig, statistics: BoxStatistics, overlap: float = COVERED) -> float:
    """Return the share of boxes, resized as in the recipe, that overlap with an anchor by at least `overlap`.

    Args:
        cfg: Recipe of a detector with Detectron2's anchors.
        statistics: Sizes of the data, with at least one box.
        overlap: Smallest IoU at the same centre.
    """
    boxes = statistics.scaled_boxes(resize_factors(cfg, statistics.image_sizes))
    return float((best_overlaps(boxes, anchor_shapes(cfg)) >= overlap).mean())
