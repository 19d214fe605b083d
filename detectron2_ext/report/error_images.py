"""Draw images, and parts of images, in which detections are wrong."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from PIL import Image
from PIL.Image import Resampling

from detectron2_ext.prediction import draw_instances
from eva_engine.data import read_rgb_image
from eva_engine.report.sections import ImageFigure, encode_image

from .detection_images import make_instances
from .explained import Explained

NUM_IMAGES = 12
MAX_SIDE = 800
_CROP_SIDE = 240  # pixels of an example on the page
_CONTEXT = 1.6  # side of a crop relative to the boxes in it


@dataclass(frozen=True)
class Example:
    """A wrong detection, a missed object, or both where an object got a wrong class.

    Attributes:
        image_number: Number of the image in the ground truth.
        detection: The detection, with "bbox", "category_id" (numbered from 1) and "score".
        annotation: The object.
    """

    image_number: int
    detection: dict | None
    annotation: dict | None


def draw_worst_images(
    explained: Explained, order: Sequence[int], counts: Mapping[int, tuple[int, int, int]], threshold: float
) -> list[ImageFigure]:
    """Draw ground truth and detections of the first images.

    Args:
        explained: The evaluation.
        order: Numbers of images, the worst first.
        counts: Right and wrong detections and missed objects of each image.
        threshold: Detections with a lower score are not drawn.
    """
    chosen = [number for number in order if number in explained.files][:NUM_IMAGES]
    detections = explained.detections(set(chosen))
    class_indices = {number: number - 1 for number in explained.diagnosis.truth.category_numbers.values()}
    figures = []
    for number in chosen:
        pixels = read_rgb_image(explained.files[number])
        size = {"height": pixels.shape[0], "width": pixels.shape[1]}
        kept = [record for record in detections[number] if record["score"] >= threshold]
        images = []
        for label, records in (("Ground truth", explained.objects(number)), ("Prediction", kept)):
            instances = make_instances(records, size, class_indices, enlarge=1)
            if label == "Prediction":
                instances.scores = torch.tensor([record["score"] for record in records])
            images.append((label, encode_image(_draw(pixels, instances, explained.names), MAX_SIDE)))
        right, wrong, missed = counts[number]
        name = Path(explained.files[number]).name
        figures.append(ImageFigure(f"{name}: {right} right, {wrong} wrong, {missed} missed", images))
    return figures


def draw_examples(
    explained: Explained, examples: Mapping[tuple[int, int], Sequence[Example]], matrix: np.ndarray
) -> dict[tuple[int, int], ImageFigure]:
    """Draw the examples of each cell of a confusion matrix next to each other; every image is read once."""
    by_image = defaultdict(list)
    for cell, cell_examples in examples.items():
        for example in cell_examples:
            by_image[example.image_number].append((cell, example))
    drawn: dict[tuple[int, int], list[tuple[str, str]]] = {cell: [] for cell in examples}
    for number, image_examples in by_image.items():
        pixels = read_rgb_image(explained.files[number])
        for cell, example in image_examples:
            label = Path(explained.files[number]).name
            if example.detection is not None:
                label = f"{example.detection['score']:.0%} {label}"
            drawn[cell].append((label, encode_image(_draw_crop(pixels, example, explained.names), _CROP_SIDE)))
    num_classes = len(explained.names)
    figures = {}
    for (row, column), images in drawn.items():
        if row == num_classes:
            caption = f"{explained.names[column]} where nothing is: {matrix[row, column]}"
        elif column == num_classes:
            caption = f"{explained.names[row]} not found: {matrix[row, column]}"
        else:
            caption = f"{explained.names[row]} taken for {explained.names[column]}: {matrix[row, column]}"
        figures[row, column] = ImageFigure(caption, images)
    return figures


def _draw_crop(pixels: np.ndarray, example: Example, names: Sequence[str]) -> np.ndarray:
    """Draw the boxes of an example in a square part of the image around them, in the colors of their classes."""
    records = [record for record in (example.annotation, example.detection) if record is not None]
    corners = np.array([record["bbox"] for record in records], dtype=np.float64)
    corners[:, 2:] += corners[:, :2]
    low, high = corners[:, :2].min(0), corners[:, 2:].max(0)
    side = max(_CONTEXT * float((high - low).max()), 32.0)
    left, top = np.floor((low + high - side) / 2).astype(int)
    side = int(np.ceil(side))
    crop = Image.fromarray(pixels).crop((left, top, left + side, top + side))  # black outside of the image
    scale = _CROP_SIDE / side
    canvas = np.array(crop.resize((_CROP_SIDE, _CROP_SIDE), Resampling.BICUBIC))
    instances = Instances((_CROP_SIDE, _CROP_SIDE))
    instances.pred_boxes = Boxes(torch.tensor((corners - np.array([left, top, left, top])) * scale).float())
    instances.pred_classes = torch.tensor([record["category_id"] - 1 for record in records])
    return draw_instances(canvas, instances, names, color_by="class", labels=False)


def _draw(pixels: np.ndarray, instances: Instances, names: Sequence[str]) -> np.ndarray:
    # With a single class, different colors of neighbours say more.
    several = len(names) > 1
    return draw_instances(pixels, instances, names, color_by="class" if several else "instance", labels=several)
