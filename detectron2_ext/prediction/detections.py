"""The outputs of a detector in the pixels of the original image."""

from typing import NamedTuple

from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances

from ..mask_windows import encode_predicted_masks


class Found(NamedTuple):
    """What the model found in an image.

    Attributes:
        instances: Detections in pixels of the image, best first. `probabilities` [N, M, M] are the masks within the
            boxes, until they are replaced by `pred_masks_rle`.
        reached_limits: Limits of the model without which there might be more, each with its option.
    """

    instances: Instances
    reached_limits: tuple[str, ...]


def rescale_to_image(detections: Instances, height: int, width: int) -> Instances:
    """Return the outputs of a model in the pixels of the original image, with `probabilities` if it predicts masks.

    Args:
        detections: Outputs without post-processing; modified.
        height, width: Size of the original image.
    """
    masks = detections.get_fields().pop("pred_masks", None)
    if masks is not None:
        # A name that Detectron2 leaves alone; it would create all full-size masks.
        detections.probabilities = masks[:, 0]
    return detector_postprocess(detections, height, width)


def encode_masks(instances: Instances) -> None:
    """Replace `probabilities`, if there are any, by the masks of the image in `pred_masks_rle`."""
    if instances.has("probabilities"):
        boxes, probabilities = instances.pred_boxes.tensor, instances.probabilities
        instances.remove("probabilities")
        instances.pred_masks_rle = encode_predicted_masks(boxes, probabilities, instances.image_size)
