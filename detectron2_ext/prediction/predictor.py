"""A detector with its weights, class names and test-time resize: one picture in, detections in its own pixels out."""

from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.config import instantiate
from detectron2.data import transforms as T
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.prediction.categories import Categories
from eva_engine.prediction.trained_model import load_trained, pick_device

from .detector_categories import find_categories, match_categories

# Full-size masks that exist at once; bounds memory whatever the picture's size and the number of detections.
MASK_PIXELS_AT_ONCE = 100_000_000


class Predictor:
    """Build the config's model, load weights, and detect.

    Args:
        cfg: a LazyConfig with ``model`` and ``dataloader.test``, such as any file of ``projects/ViTDet/configs``.
        weights: a weight file of the model.
        device: ``"auto"`` (CUDA where there is one, else the CPU) or a torch device name.
        score_threshold: detections with a lower final score are dropped, before their masks are made.
        categories: what the class indices mean; found by :func:`find_categories` when not given.

    Attributes:
        model: in evaluation mode, on ``device``.
        categories: name and data set id of each class index.
    """

    def __init__(
        self,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        score_threshold: float = 0.5,
        categories: Categories | None = None,
    ):
        self.device = pick_device(device)
        self.score_threshold = score_threshold
        self.resize, self.image_format = _test_input(cfg)
        self.model = load_trained(cfg, weights, GeneralizedRCNN).to(self.device)
        source = "the list given"
        if categories is None:
            categories, source = find_categories(cfg, weights)
        self.categories = match_categories(categories, self.model.roi_heads.num_classes, source)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> Instances:
        """Detect in one picture.

        Args:
            image: [H, W, 3] uint8 RGB, any size.

        Returns:
            Instances on the CPU, image_size (H, W), best first: ``pred_boxes`` (x0, y0, x1, y1 in pixels of ``image``),
            ``scores``, ``pred_classes`` and, from a model with a mask head, ``pred_masks_rle``: COCO's compressed run
            lengths of each [H, W] mask.

        Raises:
            InputError: a picture too narrow for the resize, or one that is larger behind it than the model takes.
        """
        height, width = image.shape[:2]
        if self.image_format == "BGR":
            image = image[:, :, ::-1]
        resized = T.AugInput(np.ascontiguousarray(image))
        try:
            self.resize(resized)
        except ValueError as error:
            raise InputError(f"{width}x{height} pixels: too narrow to be resized for the model: crop it.") from error
        tensor = torch.as_tensor(np.ascontiguousarray(resized.image.transpose(2, 0, 1)).astype(np.float32))
        # Without the model's own post-processing, which makes every mask in full size at once.
        found = self.model.inference([{"image": tensor}], do_postprocess=False)[0]
        found = found[found.scores >= self.score_threshold]
        found = found[found.scores.argsort(descending=True, stable=True)]
        step = max(1, MASK_PIXELS_AT_ONCE // (height * width))
        parts = [_to_image(found[i : i + step], height, width) for i in range(0, max(1, len(found)), step)]
        return Instances.cat(parts)


def _test_input(cfg: Any) -> tuple[T.Augmentation, str]:
    """The resize and the channel order of the config's evaluation: a picture meets the model as it does there."""
    augmentations = OmegaConf.select(cfg, "dataloader.test.mapper.augmentations", default=None)
    if augmentations is not None:
        channels = OmegaConf.select(cfg, "dataloader.test.mapper.image_format", default="RGB")
        return T.AugmentationList(list(instantiate(augmentations))), channels
    # A run on own data without validation leaves no test loader in its config.
    side = OmegaConf.select(cfg, "model.backbone.square_pad", default=None)
    if side is None:
        raise InputError(
            "the config has no model with dataloader.test.mapper.augmentations: give a detection config, "
            "such as projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py."
        )
    return T.ResizeShortestEdge(side, max_size=side), OmegaConf.select(cfg, "model.input_format", default="RGB")


def _to_image(found: Instances, height: int, width: int) -> Instances:
    """Detections in pixels of the original picture, masks coded as soon as they are made."""
    found = detector_postprocess(found, height, width).to("cpu")
    if found.has("pred_masks"):
        masks = found.pred_masks.numpy().view(np.uint8)
        found.remove("pred_masks")
        found.pred_masks_rle = [mask_util.encode(np.asfortranarray(mask)) for mask in masks]
    return found
