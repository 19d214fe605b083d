"""An exported detector in place of the one of PyTorch."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor, nn

from eva_backbone.errors import InputError
from eva_deploy.exported_model import GraphFunction

from ..modeling.rcnn import check_images_fit, shrink_to_square, to_image_pixels

_EXPORT_AGAIN = "export the model again"


class ExportedHeads(NamedTuple):
    """What the predictor and the evaluation look up in the heads of a detector."""

    num_classes: int


class ExportedDetector(nn.Module):
    """A detector that runs an exported file, with the inference of `GeneralizedRCNN`.

    Args:
        graph: The exported graph, with the inputs and outputs of `FixedDetector`.
        settings: Those of the file, see `DetectionExport.settings`.
        large_images: See `GeneralizedRCNN`.

    Attributes:
        num_detections: Largest number of detections of an image that the file gives.
        max_detections: Largest number that is returned; None for all.
        full_proposals: For each image of the last batch, whether the number of proposals may have been too small.
    """

    def __init__(self, graph: GraphFunction, settings: Mapping[str, Any], large_images: str) -> None:
        super().__init__()
        self._graph = graph
        self.roi_heads = ExportedHeads(int(settings["num_classes"]))
        self.square_size, self.num_detections = int(settings["square_size"]), int(settings["num_detections"])
        self.num_proposals = int(settings["num_proposals"])
        self.large_images = large_images
        self.max_detections: int | None = None
        self.full_proposals: list[bool] = []

    @property
    def device(self) -> torch.device:
        """The device of the images and of the results; the runtime may use another one inside."""
        return torch.device("cpu")

    def forward(self, batched_inputs: list[dict[str, Any]]) -> list[dict[str, Instances]]:
        """Return {"instances": Instances} for each image; inputs as in Detectron2."""
        return self.inference(batched_inputs)

    def inference(self, batched_inputs: list[dict[str, Any]], do_postprocess: bool = True) -> list[Any]:
        """Return the detections of each image; see `GeneralizedRCNN.inference`.

        Raises:
            InputError: An image is larger than the square, or the records have proposals.
        """
        if any("proposals" in record for record in batched_inputs):
            raise InputError("an exported detector makes its own proposals; leave those of the data out.")
        if self.large_images == "resize":
            batched_inputs = [shrink_to_square(record, self.square_size) for record in batched_inputs]
        check_images_fit(batched_inputs, self.square_size)
        sizes = torch.tensor([record["image"].shape[-2:] for record in batched_inputs])
        outputs = self._graph(self._pad(batched_inputs), sizes)
        self.full_proposals = outputs["proposals_are_full"].tolist()
        found = []
        for index, size in enumerate(sizes.tolist()):
            values = {name: output[index] for name, output in outputs.items() if name != "proposals_are_full"}
            found.append(_to_instances(self._limit(values), tuple(size)))
        if not do_postprocess:
            return found
        return [{"instances": to_image_pixels(*pair)} for pair in zip(found, batched_inputs, strict=True)]

    def _pad(self, batched_inputs: list[dict[str, Any]]) -> Tensor:
        images = torch.zeros(len(batched_inputs), 3, self.square_size, self.square_size)
        for padded, record in zip(images, batched_inputs, strict=True):
            height, width = record["image"].shape[-2:]
            padded[:, :height, :width] = record["image"]
        return images

    def _limit(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the valid rows of the outputs for an image, and only as many as asked for."""
        kept = values.pop("is_valid").nonzero()[:, 0]
        if self.max_detections is not None and len(kept) > self.max_detections:
            # The limit counts before the masks change the order.
            scores = values.get("box_scores", values["scores"])[kept]
            best = scores.argsort(descending=True, stable=True)[: self.max_detections]
            kept = kept[best.sort().values]
        return {name: value[kept] for name, value in values.items()}


class ExportedLimits:
    """The limits of an exported detector, with the interface of `DetectionLimits`.

    Args:
        model: The detector.
    """

    def __init__(self, model: ExportedDetector) -> None:
        self._model = model

    def set_max_detections(self, count: int | None) -> None:
        """Make `count` the largest number of detections of an image; None for that of the file.

        Raises:
            InputError: It is larger than that of the file.
        """
        if count is not None and count > self._model.num_detections:
            raise InputError(
                f"the exported model gives at most {self._model.num_detections} detections, not {count}; "
                f"{_EXPORT_AGAIN} with a larger number in its recipe."
            )
        self._model.max_detections = count

    def describe_max_detections(self) -> str:
        """Return the limit on detections and how to raise it."""
        model = self._model
        if model.max_detections is not None:
            return f"{model.max_detections} detections; raise --max-detections"
        return f"{model.num_detections} detections; {_EXPORT_AGAIN} with a larger number in its recipe"

    def reached(self, detections: Instances, score_threshold: float, index: int = 0) -> list[str]:
        """Return descriptions of the limits; see `DetectionLimits.reached`."""
        reached = []
        model = self._model
        limit = model.num_detections if model.max_detections is None else model.max_detections
        scores = detections.box_scores if detections.has("box_scores") else detections.scores
        if limit <= len(scores) and (scores >= score_threshold).all():
            reached.append(self.describe_max_detections())
        if model.full_proposals[index]:
            reached.append(f"{model.num_proposals} proposals; {_EXPORT_AGAIN} with a larger number in its recipe")
        return reached


def _to_instances(values: Mapping[str, Tensor], size: tuple[int, int]) -> Instances:
    found = Instances(size, pred_boxes=Boxes(values["boxes"]), scores=values["scores"])
    found.pred_classes = values["classes"]
    if "masks" in values:
        found.pred_masks = values["masks"][:, None]
    if "box_scores" in values:
        found.box_scores = values["box_scores"]
    return found
