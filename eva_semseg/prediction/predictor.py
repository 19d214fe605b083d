"""A segmentation model with its weights, class names and views: a picture in, a map of class numbers out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import instantiate
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.prediction.categories import match_names
from eva_engine.prediction.trained_model import load_trained, pick_device

from ..segmenter import Segmenter
from .class_names import find_class_names


class SegmentationPredictor:
    """Build the config's model, load weights, and segment as the recipe evaluates.

    Args:
        cfg: a recipe of ``projects/SemSeg/configs``, or what a run left of one.
        weights: a weight file of the model.
        device: ``"auto"`` (CUDA where there is one, else the CPU) or a torch device name.
        class_names: one per class; found by :func:`find_class_names` when not given, or else the number.

    Raises:
        InputError: no segmentation model, weights that leave a part of it random, or names of another number of
            classes.

    Attributes:
        class_names: one per class of the model.
    """

    def __init__(
        self, cfg: Any, weights: str | Path, device: str = "auto", class_names: Sequence[str] | None = None
    ) -> None:
        num_classes = OmegaConf.select(cfg, "model.decode_head.num_classes", default=None)
        views = OmegaConf.select(cfg, "dataloader.test.mapper.views", default=None)
        if num_classes is None or views is None:
            raise InputError(
                "the config has no model.decode_head.num_classes with dataloader.test.mapper.views: give one for "
                "semantic segmentation, such as projects/SemSeg/configs/ade20k_ss.py."
            )
        if class_names is None:
            self.class_names = find_class_names(cfg, num_classes)
        else:
            self.class_names = match_names(class_names, num_classes, "the list given")
        self.device = pick_device(device)
        self.views = instantiate(views)
        self.model = load_trained(cfg, weights, Segmenter).to(self.device)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Class numbers [H, W] uint8 of a picture [H, W, 3] uint8 RGB of any size.

        Raises:
            InputError: scores that are no finite numbers.
        """
        height, width = image.shape[:2]
        found = self.model.most_likely({"views": self.views(image), "height": height, "width": width})
        return found.cpu().numpy()
