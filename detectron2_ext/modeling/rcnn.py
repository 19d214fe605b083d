"""The complete detector: images in, losses or detections out."""

from typing import Any

import torch
import torch.nn.functional as F
from detectron2.modeling import meta_arch
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage

from eva_backbone.backbone_delegate import BackboneDelegate
from eva_backbone.errors import InputError

from ..mask_windows import EncodedMasks, rescale_detections
from .class_layers import reset_class_layers

_MAX_MASK_PIXELS = 1 << 30  # of one image, at a byte each: a hundred masks of 10 megapixels


class GeneralizedRCNN(BackboneDelegate, meta_arch.GeneralizedRCNN):
    """Detectron2's two-stage detector with float32 heads in training and strict square padding.

    In training everything after the backbone runs in float32 with autocast disabled, on every device type. In inference
    the heads follow autocast. All other keywords are those of Detectron2.

    Args:
        large_images: Treatment of an image larger than the square that the backbone pads to. "refuse" raises
            InputError. "resize" shrinks the image to fit, in inference only; in training such an image is always
            refused, because its annotations would have to be resized as well, which is up to the data loader. The
            detections are in pixels of the record's `height` and `width`, or of the image as given if the record has
            none; without post-processing they are in pixels of the shrunk image.
        kwargs: Keywords of Detectron2's `GeneralizedRCNN`.

    Raises:
        InputError: `large_images` is unknown.
    """

    backbone_name = "backbone.net"
    # The last layers before scores, boxes and masks are decided.
    float32_parts = (
        "proposal_generator.rpn_head.objectness_logits",
        "proposal_generator.rpn_head.anchor_deltas",
        "roi_heads.box_predictor",
        "roi_heads.mask_head.predictor",
    )

    def __init__(self, *, large_images: str = "refuse", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if large_images not in ("refuse", "resize"):
            raise InputError(f'large_images={large_images!r} is unknown; choose "refuse" or "resize"')
        self.large_images = large_images

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the layers of the box and mask heads that predict classes with new ones for `num_classes` classes."""
        reset_class_layers(self.roi_heads, num_classes)

    @property
    def square_size(self) -> int:
        """Side in pixels of the square that images are padded to; 0 if they are not padded to a square."""
        return self.backbone.padding_constraints.get("square_size", 0)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, torch.Tensor] | list[dict[str, Instances]]:
        """Return losses in training, one {"instances": Instances} per image in inference; inputs as in Detectron2."""
        if not self.training:
            return self.inference(batched_inputs)
        images = self.preprocess_image(batched_inputs)
        targets = [x["instances"].to(self.device) for x in batched_inputs] if "instances" in batched_inputs[0] else None
        features = self.backbone(images.tensor)
        # Regression targets are differences of box coordinates. Between 1024 and 2048 pixels, float16 has steps of one
        # pixel and bfloat16 of eight.
        with torch.autocast(self.device.type, enabled=False):
            features = {name: level.float() for name, level in features.items()}
            if self.proposal_generator is not None:
                proposals, proposal_losses = self.proposal_generator(images, features, targets)
            else:
                proposals, proposal_losses = [x["proposals"].to(self.device) for x in batched_inputs], {}
            _, losses = self.roi_heads(images, features, proposals, targets)
        if self.vis_period > 0 and get_event_storage().iter % self.vis_period == 0:
            self.visualize_training(batched_inputs, proposals)
        return {**losses, **proposal_losses}

    def inference(
        self,
        batched_inputs: list[dict[str, Any]],
        detected_instances: list[Instances] | None = None,
        do_postprocess: bool = True,
    ) -> list[dict[str, Instances]] | list[Instances]:
        """Return detections or, given `detected_instances`, what the heads predict for those boxes; see Detectron2.

        The masks of an image are a tensor, bool [N, H, W], or the sequence `EncodedMasks` if that has 2^30 values.
        """
        if self.large_images == "resize" and detected_instances is None:
            batched_inputs = [shrink_to_square(x, self.square_size) for x in batched_inputs]
        detections = super().inference(batched_inputs, detected_instances, do_postprocess=False)
        if not do_postprocess:
            return detections
        return [{"instances": to_image_pixels(*pair)} for pair in zip(detections, batched_inputs, strict=True)]

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalise images [3, H, W] and pad them at the bottom and right, to the backbone's square if it has one.

        Raises:
            InputError: An image is larger than that square.
        """
        check_images_fit(batched_inputs, self.square_size)
        return super().preprocess_image(batched_inputs)


def check_images_fit(batched_inputs: list[dict[str, Any]], square_size: int) -> None:
    """Raise InputError if an image is larger than the square of side `square_size`; 0 stands for any size."""
    for record in batched_inputs:
        height, width = record["image"].shape[-2:]
        if max(height, width) > square_size > 0:
            raise InputError(
                f"{record.get('file_name', 'an image')} has {width}x{height} pixels, but the model accepts at most "
                f"{square_size}x{square_size}; shrink it first, or in inference set "
                'model.large_images="resize"'
            )


def shrink_to_square(record: dict[str, Any], square_size: int) -> dict[str, Any]:
    """Return the record with an image that fits in the square of side `square_size`; 0 stands for any size."""
    height, width = record["image"].shape[-2:]
    fits = square_size == 0 or max(height, width) <= square_size
    if fits or "proposals" in record:  # given proposals are in pixels of the image, which must stay as it is
        return record
    scale = square_size / max(height, width)
    size = (max(round(height * scale), 1), max(round(width * scale), 1))
    image = F.interpolate(record["image"][None].float(), size, mode="bilinear", antialias=True)[0]
    return {"height": height, "width": width, **record, "image": image}


def to_image_pixels(detections: Instances, record: dict[str, Any]) -> Instances:
    """Convert detections to the pixels of the image that the record describes."""
    height = record.get("height", detections.image_size[0])
    width = record.get("width", detections.image_size[1])
    if not detections.has("pred_masks") or len(detections) * height * width < _MAX_MASK_PIXELS:
        return detector_postprocess(detections, height, width)
    rescaled = rescale_detections(detections, height, width)
    rescaled.pred_masks = EncodedMasks(rescaled.pred_masks_rle)
    rescaled.remove("pred_masks_rle")
    return rescaled
