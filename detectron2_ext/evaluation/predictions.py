"""Convert class indices and ids of predictions to those of the ground truth."""

import logging
import math

from eva_backbone.errors import InputError

from .ground_truth import GroundTruth

logger = logging.getLogger(__name__)

_RESULT_KEYS = {"bbox": "bbox", "segm": "segmentation"}


def to_category_ids(predictions: list[dict], category_ids: dict[int, int], truth: GroundTruth) -> list[dict]:
    """Convert predictions whose `category_id` is a class index to COCO's result format.

    Predictions with a non-finite box or score are dropped.

    Args:
        predictions: Records of `image_id`, `category_id`, `bbox`, `score` and possibly `segmentation`.
        category_ids: {class index: category id of the dataset}.
        truth: The ground truth.

    Raises:
        InputError: The dataset does not have the image or the class of a prediction.
    """
    results = []
    for prediction in predictions:
        class_index = prediction["category_id"]
        if class_index not in category_ids:
            raise InputError(
                f"The model predicts class index {class_index}, but the dataset of {truth.source} "
                f"has {len(category_ids)} classes; evaluate on a dataset with the classes of the model."
            )
        if prediction["image_id"] not in truth.image_numbers:
            raise InputError(
                f"There are predictions for image {prediction['image_id']!r}, which {truth.source} does not list; "
                "use the same dataset for the evaluator and the test loader."
            )
        if all(math.isfinite(value) for value in (*prediction["bbox"], prediction["score"])):
            results.append({**prediction, "category_id": category_ids[class_index]})
    if len(results) < len(predictions):
        num_dropped = len(predictions) - len(results)
        logger.warning("%d detections with a non-finite box or score are left out.", num_dropped)
    return results


def to_numbers(results: list[dict], task: str, truth: GroundTruth) -> list[dict]:
    """Replace the ids of results with the numbers of `truth` and keep only the box or only the mask, as `task` needs.

    Detections of a category that the annotation file does not list are dropped, because nothing can be matched with
    them.

    Args:
        results: Records in COCO's result format.
        task: "bbox" or "segm".
        truth: The ground truth.

    Raises:
        InputError: The size of a mask differs from that of its image in the annotation file.
    """
    key = _RESULT_KEYS[task]
    numbered = []
    for result in results:
        image = truth.image_numbers[result["image_id"]]
        category = truth.category_numbers.get(result["category_id"])
        if category is not None and key in result:
            numbered.append({"image_id": image, "category_id": category, key: result[key], "score": result["score"]})
    if task == "segm":
        _check_mask_sizes(numbered, truth)
    return numbered


def _check_mask_sizes(results: list[dict], truth: GroundTruth) -> None:
    """Check the sizes of masks, because for a wrong size the metric libraries find no overlap or fail."""
    for result in results:
        image = truth.images[result["image_id"] - 1]
        height, width = result["segmentation"]["size"]
        if image["height"] is not None and (height, width) != (image["height"], image["width"]):
            image_id = list(truth.image_numbers)[result["image_id"] - 1]
            raise InputError(
                f"The masks predicted for image {image_id!r} have {width}x{height} pixels, but {truth.source} gives "
                f"the image as {image['width']}x{image['height']}; correct its 'width' and 'height'."
            )
