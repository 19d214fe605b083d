"""Detect objects in the slices of an image, and merge them to those of the image."""

from collections.abc import Sequence
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.structures import Boxes, Instances

from eva_backbone.errors import InputError
from eva_engine.prediction.read_ahead import read_batches

from ..mask_windows import encode_predicted_mask
from .slices import MergedObject, Window, merge_slices

if TYPE_CHECKING:
    from .predictor import DetectionPredictor


class Found(NamedTuple):
    """What the model found in an image.

    Attributes:
        instances: Detections in pixels of the image, best first. `probabilities` [N, M, M] are the masks within the
            boxes, until they are replaced by `pred_masks_rle`.
        reached_limits: Limits of the model without which there might be more, each with its option.
    """

    instances: Instances
    reached_limits: tuple[str, ...]


def detect_in_slices(predictor: "DetectionPredictor", image: np.ndarray, windows: Sequence[Window]) -> Found:
    """Return the objects of an image from those of its slices, with the masks in `pred_masks_rle`.

    Detections below the predictor's threshold take part in merging, so that the threshold changes which objects are
    returned but not their boxes and masks. Masks are created only for objects that are returned.

    Args:
        predictor: Detects in each slice, in batches of its `batch_size`.
        image: uint8 RGB [H, W, 3].
        windows: The slices of the image.

    Raises:
        InputError: A slice is too narrow for the resize.
    """
    found: list[Found] = []
    # The next slices are resized while the model computes.
    read = closing(
        read_batches(lambda window: _prepare(predictor, image, window), windows, predictor.batch_size, _fail)
    )
    with read as batches:
        for batch in batches:
            for part in predictor.detect([sample for _, sample in batch], score_threshold=0.0):
                found.append(Found(part.instances.to("cpu"), part.reached_limits))
    parts = Instances.cat(
        [_in_image(part.instances, window, image) for part, window in zip(found, windows, strict=True)]
    )
    numbers = np.repeat(np.arange(len(windows)), [len(part.instances) for part in found])
    boxes, scores = parts.pred_boxes.tensor.numpy().astype(np.float64), parts.scores.numpy()
    merged = merge_slices(windows, numbers, boxes, scores, parts.pred_classes.numpy())
    kept = [item for item in merged if scores[item.best] >= predictor.score_threshold]
    limits = dict.fromkeys(chain.from_iterable(part.reached_limits for part in found))
    return Found(_merge(parts, kept, [windows[number] for number in numbers.tolist()]), tuple(limits))


def _prepare(predictor: "DetectionPredictor", image: np.ndarray, window: Window) -> Any:
    x0, y0, x1, y1 = window.box
    return predictor.prepare_whole(image[y0:y1, x0:x1])


def _fail(_window: Window, error: InputError) -> None:
    raise error


def _in_image(instances: Instances, window: Window, image: np.ndarray) -> Instances:
    """Return the detections of a slice with boxes in pixels of the image; `slice_boxes` are those of the slice."""
    moved = Instances(image.shape[:2], **instances.get_fields())
    moved.slice_boxes = instances.pred_boxes
    moved.pred_boxes = Boxes(instances.pred_boxes.tensor + torch.tensor([window.left, window.top] * 2))
    return moved


def _merge(parts: Instances, objects: Sequence[MergedObject], windows: Sequence[Window]) -> Instances:
    """Return the objects with the union of the boxes and masks of their parts.

    Args:
        parts: All detections.
        objects: Objects to return.
        windows: Slice of each detection.
    """
    best = [item.best for item in objects]
    corners = parts.pred_boxes.tensor
    boxes = torch.zeros(len(objects), 4)
    for row, item in enumerate(objects):
        members = corners[item.parts]
        boxes[row] = torch.cat([members[:, :2].amin(dim=0), members[:, 2:].amax(dim=0)])
    merged = Instances(parts.image_size, pred_boxes=Boxes(boxes))
    merged.scores, merged.pred_classes = parts.scores[best], parts.pred_classes[best]
    if parts.has("probabilities"):
        merged.pred_masks_rle = [_union_mask(parts, item.parts, windows) for item in objects]
    return merged


def _union_mask(parts: Instances, members: Sequence[int], windows: Sequence[Window]) -> dict[str, Any]:
    """Return the union of masks as COCO RLE; the memory is that of the windows around the objects."""
    rles = []
    for member in members:
        window = windows[member]
        box, probabilities = parts.slice_boxes.tensor[member], parts.probabilities[member]
        # Interpolated in pixels of the slice, the mask is exactly that of the prediction for the slice.
        size, origin = (window.height, window.width), (window.top, window.left)
        rles.append(encode_predicted_mask(box, probabilities, size, origin, parts.image_size))
    return rles[0] if len(rles) == 1 else mask_util.merge(rles)
