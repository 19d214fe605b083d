"""The whole detector: images in, losses or detections out."""

from typing import Any

import torch
import torch.nn.functional as F
from detectron2.modeling import meta_arch
from detectron2.structures import ImageList, Instances
from detectron2.utils.events import get_event_storage

from eva_backbone.errors import InputError


class GeneralizedRCNN(meta_arch.GeneralizedRCNN):
    """Detectron2's two-stage detector with a float32 region in training and strict square padding.

    In training everything after the backbone runs in float32 with autocast off, on every type of device. In inference
    the heads follow autocast. All other keywords are as in Detectron2.

    Args:
        large_images: what to do with an image larger than the square the backbone pads to. "refuse" raises InputError;
            "resize" shrinks it to fit (inference only: in training it is refused, since annotations are made to fit by
            the data loader). The detections are in pixels of the record's `height` and `width`, or of the image as it
            was given where the record has none; those without post-processing, of the shrunk image.
    """

    def __init__(self, *, large_images: str = "refuse", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if large_images not in ("refuse", "resize"):
            raise InputError(f'large_images={large_images!r} is not known; choose "refuse" or "resize"')
        self.large_images = large_images

    @property
    def square_size(self) -> int:
        """Side of the square that images are padded to, in pixels; 0 if they are not."""
        return self.backbone.padding_constraints.get("square_size", 0)

    def forward(self, batched_inputs: list[dict[str, Any]]) -> dict[str, torch.Tensor] | list[dict[str, Instances]]:
        """Losses in training, one {"instances": Instances} per image in inference; inputs as in Detectron2."""
        if not self.training:
            return self.inference(batched_inputs)
        images = self.preprocess_image(batched_inputs)
        targets = [x["instances"].to(self.device) for x in batched_inputs] if "instances" in batched_inputs[0] else None
        features = self.backbone(images.tensor)
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
        """Detections, or with `detected_instances` only what the heads add to those boxes; see Detectron2."""
        if self.large_images == "resize" and detected_instances is None:
            batched_inputs = [self._shrink(x) for x in batched_inputs]
        return super().inference(batched_inputs, detected_instances, do_postprocess)

    def preprocess_image(self, batched_inputs: list[dict[str, Any]]) -> ImageList:
        """Normalise images [3, H, W] and pad them at the bottom and right, to the backbone's square if it has one.

        Raises:
            InputError: an image is larger than that square.
        """
        for record in batched_inputs:
            height, width = record["image"].shape[-2:]
            if max(height, width) > self.square_size > 0:
                raise InputError(
                    f"{record.get('file_name', 'an image')} is {width}x{height} pixels where the model takes at most "
                    f"{self.square_size}x{self.square_size}; shrink it before, or in inference set "
                    'model.large_images="resize"'
                )
        return super().preprocess_image(batched_inputs)

    def _shrink(self, record: dict[str, Any]) -> dict[str, Any]:
        height, width = record["image"].shape[-2:]
        if max(height, width) <= self.square_size or self.square_size == 0 or "proposals" in record:
            return record
        scale = self.square_size / max(height, width)
        size = (max(round(height * scale), 1), max(round(width * scale), 1))
        image = F.interpolate(record["image"][None].float(), size, mode="bilinear", antialias=True)[0]
        return {"height": height, "width": width, **record, "image": image}
