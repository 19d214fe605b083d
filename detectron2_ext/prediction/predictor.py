"""A detector ready for inference: one image in, detections in the pixels of that image out."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import transforms as T
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.postprocessing import detector_postprocess
from detectron2.structures import Instances
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.config.class_list import match_given_names
from eva_engine.config.instantiation import instantiate
from eva_engine.prediction.categories import Categories
from eva_engine.prediction.trained_model import load_trained, pick_device

from ..mask_windows import encode_predicted_masks
from .detector_categories import find_categories, match_categories
from .limits import DetectionLimits


class DetectionPredictor:
    """Run a detector on single images.

    Use `from_config` to build the model from a recipe and a weight file.

    Args:
        model: A detector with its weights; it is moved to `device` and put in evaluation mode.
        resize: Test-time resize, applied to every image.
        categories: Name and dataset id of each class index.
        device: "auto" (CUDA if available, else the CPU) or a torch device name.
        image_format: Channel order that the model expects, "RGB" or "BGR".
        score_threshold: Detections with a lower final score are dropped before their masks are computed.

    Attributes:
        model: The detector, in evaluation mode on `device`.
        categories: Name and dataset id of each class index.
        reached_limits: The limits on detections that the last image has reached, each with its option.

    Raises:
        InputError: The device is unknown or not available, or the number of categories is not that of the model.
    """

    def __init__(
        self,
        model: GeneralizedRCNN,
        resize: T.Augmentation,
        categories: Categories,
        device: str = "auto",
        *,
        image_format: str = "RGB",
        score_threshold: float = 0.5,
    ) -> None:
        self.categories = match_categories(categories, model.roi_heads.num_classes, "the list given")
        self.device = pick_device(device)
        self.model = model.to(self.device).eval()
        self.resize = resize
        self.image_format = image_format
        self.score_threshold = score_threshold
        self.reached_limits: list[str] = []
        self._limits = DetectionLimits(self.model)

    @classmethod
    def from_config(
        cls,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        score_threshold: float = 0.5,
        categories: Categories | None = None,
        *,
        dtype: str = "float32",
    ) -> "DetectionPredictor":
        """Build the model of a recipe, load its weights and return its predictor.

        Args:
            cfg: LazyConfig with `model` and `dataloader.test`, such as any file in projects/ViTDet/configs.
            weights: Weight file of the model.
            device: "auto" (CUDA if available, else the CPU) or a torch device name.
            score_threshold: Detections with a lower final score are dropped.
            categories: Name and dataset id of each class index; by default those that `find_categories` finds.
            dtype: Type of the parameters: "float32", "bfloat16", "float16" or "auto"; see `load_trained`.

        Raises:
            InputError: The device, the config or the weight file cannot be used, or the number of categories differs
                from the number of classes of the model.
        """
        pick_device(device)  # report an unusable device before the model is built and loaded
        resize, image_format = _test_input(cfg)
        model = load_trained(cfg, weights, GeneralizedRCNN, dtype, device)
        source = "the list given"
        if categories is None:
            categories, source = find_categories(cfg, weights)
        else:
            match_given_names(categories.names, model.roi_heads.num_classes, cfg, weights)
        categories = match_categories(categories, model.roi_heads.num_classes, source)
        return cls(model, resize, categories, image_format=image_format, device=device, score_threshold=score_threshold)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> Instances:
        """Detect objects in one image.

        Args:
            image: uint8 RGB [H, W, 3] of any size.

        Returns:
            Instances on the CPU with image_size (H, W), by descending score: `pred_boxes` (x0, y0, x1, y1 in pixels of
            `image`), `scores`, `pred_classes` and, from a model with a mask head, `pred_masks_rle`, the compressed COCO
            RLE of each [H, W] mask.

        Raises:
            InputError: The image is too narrow for the resize, or after the resize larger than the model accepts.
        """
        height, width = image.shape[:2]
        if self.image_format == "BGR":
            image = image[:, :, ::-1]
        resized = T.AugInput(np.ascontiguousarray(image))
        try:
            self.resize(resized)
        except ValueError as error:
            raise InputError(
                f"the image of {width}x{height} pixels is too narrow to be resized for the model; crop it."
            ) from error
        tensor = torch.as_tensor(np.ascontiguousarray(resized.image.transpose(2, 0, 1)).astype(np.float32))
        # The model's own post-processing would create all full-size masks at once.
        detections = self.model.inference([{"image": tensor}], do_postprocess=False)[0]
        self.reached_limits = self._limits.reached(detections, self.score_threshold)
        detections = detections[detections.scores >= self.score_threshold]
        detections = detections[detections.scores.argsort(descending=True, stable=True)]
        return _rescale_to_image(detections, height, width)


def _test_input(cfg: Any) -> tuple[T.Augmentation, str]:
    """Return the resize and the channel order of the config's evaluation, so that prediction uses the same input."""
    augmentations = OmegaConf.select(cfg, "dataloader.test.mapper.augmentations", default=None)
    if augmentations is not None:
        image_format = OmegaConf.select(cfg, "dataloader.test.mapper.image_format", default="RGB")
        return T.AugmentationList(list(instantiate(augmentations))), image_format
    # The config of a run on custom data without validation data has no test loader.
    side = OmegaConf.select(cfg, "model.backbone.square_pad", default=None)
    if side is None:
        raise InputError(
            "the config has no model with dataloader.test.mapper.augmentations; give a detection config, "
            "such as projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py."
        )
    return T.ResizeShortestEdge(side, max_size=side), OmegaConf.select(cfg, "model.input_format", default="RGB")


def _rescale_to_image(detections: Instances, height: int, width: int) -> Instances:
    """Convert detections to the pixels of the original image and encode their masks as RLE."""
    masks = detections.get_fields().pop("pred_masks", None)
    if masks is not None:
        detections.probabilities = masks  # a name that Detectron2 leaves alone; it would create all full-size masks
    detections = detector_postprocess(detections, height, width)
    if masks is not None:
        probabilities = detections.probabilities[:, 0]
        rles = encode_predicted_masks(detections.pred_boxes.tensor, probabilities, (height, width))
        detections.pred_masks_rle = rles
        detections.remove("probabilities")
    return detections.to("cpu")
