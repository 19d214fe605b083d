"""Matching the ids of predictions with those of the ground truth."""

import logging
import math

from eva_backbone.errors import InputError

from .ground_truth import GroundTruth

logger = logging.getLogger(__name__)

_RESULT_KEYS = {"bbox": "bbox", "segm": "segmentation"}


def to_category_ids(predictions: list[dict], category_ids: dict[int, int], truth: GroundTruth) -> list[dict]:
    """COCO's result records from ones whose `category_id` is the model's class index.

    Those with a box or score that is not finite are left out.

    Args:
        category_ids: class index to category id of the data set.

    Raises:
        InputError: an image or class that the data set does not have.
    """
    results = []
    for prediction in predictions:
        class_index = prediction["category_id"]
        if class_index not in category_ids:
            raise InputError(
                f"The model predicts class number {class_index}, counted from 0, but the data set of {truth.source} "
                f"has {len(category_ids)} classes; evaluate on the data set that the model was trained for."
            )
        if prediction["image_id"] not in truth.image_numbers:
            raise InputError(
                f"There are predictions for image {prediction['image_id']!r}, which {truth.source} does not list; "
                "let the evaluator and the test loader name the same data set."
            )
        if all(map(math.isfinite, (*prediction["bbox"], prediction["score"]))):
            results.append({**prediction, "category_id": category_ids[class_index]})
    if len(results) < len(predictions):
        num_dropped = len(predictions) - len(results)
        logger.warning("%d detections have a box or score that is not finite and are left out.", num_dropped)
    return results


def to_numbers(results: list[dict], task: str, truth: GroundTruth) -> list[dict]:
    """The results with the numbers of `truth` for ids and only what `task` reads: the box or the mask, not both.

    Detections of a category that the file does not list are left out: there is nothing to count them against.

    Raises:
        InputError: masks of another size than the file gives for their image.
    """
    key = _RESULT_KEYS[task]
    numbered = []
    for result in results:
        image, category = truth.image_numbers[result["image_id"]], truth.category_numbers.get(result["category_id"])
        if category is not None and key in result:
            numbered.append({"image_id": image, "category_id": category, key: result[key], "score": result["score"]})
    if task == "segm":
        _check_mask_sizes(numbered, truth)
    return numbered


def _check_mask_sizes(results: list[dict], truth: GroundTruth) -> None:
    """The libraries would see no overlap, or stop."""
    for result in results:
        image = truth.images[result["image_id"] - 1]
        height, width = result["segmentation"]["size"]
        if image["height"] is not None and (height, width) != (image["height"], image["width"]):
            image_id = list(truth.image_numbers)[result["image_id"] - 1]
            raise InputError(
                f"The masks predicted for image {image_id!r} have {width}x{height} pixels, but {truth.source} gives "
                f"the image as {image['width']}x{image['height']}; correct its 'width' and 'height'."
            )
