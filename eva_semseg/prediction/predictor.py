"""Segment images with a trained model."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from omegaconf import OmegaConf

import eva_semseg.data  # noqa: F401  registers the datasets that recipes name
from eva_backbone.errors import InputError
from eva_engine.config.class_list import match_given_names, stored_categories
from eva_engine.config.instantiation import instantiate
from eva_engine.prediction.categories import Categories, match_names, read_categories
from eva_engine.prediction.predictor import ImagePredictor, ImageSample
from eva_engine.prediction.trained_model import load_trained, pick_device

from ..segmenter import Segmenter
from ..window_options import set_windows
from .result import LabelMapResult

ViewBuilder = Callable[[np.ndarray], Sequence[dict[str, Any]]]


class SegmentationPredictor(ImagePredictor[LabelMapResult]):
    """Predicts the class of every pixel of an image.

    Args:
        model: The segmentation model; it is moved to the device and set to evaluation mode.
        views: Function that makes the views of an image, such as `TestTimeAugmentation`.
        class_names: Name of each class of the model.
        device: "auto" (CUDA or Apple's GPU if available, else the CPU) or the name of a torch device.

    Raises:
        InputError: The device cannot be used, or the number of names is not that of the model's classes.

    Attributes:
        class_names: Name of each class of the model.
    """

    model: Segmenter

    def __init__(self, model: Segmenter, views: ViewBuilder, class_names: Sequence[str], device: str = "auto") -> None:
        self.class_names = match_names(class_names, model.num_classes, "the list given")
        self.views = views
        self.model = model.to(pick_device(device)).eval()

    @classmethod
    def from_config(
        cls,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        *,
        class_names: Categories | None = None,
        slice_size: int | None = None,
        overlap: float | None = None,
        dtype: str = "float32",
    ) -> "SegmentationPredictor":
        """Build the model of a recipe with its test-time augmentation, and load the weights.

        Args:
            cfg: A recipe of projects/SemSeg/configs, or the config.yaml of a run.
            weights: A weight file of the model.
            device: "auto" (CUDA or Apple's GPU if available, else the CPU) or the name of a torch device.
            class_names: Name of each class; None to find them by `find_class_names`.
            slice_size: Side of the sliding windows, in pixels of the resized image; None uses those of the recipe.
            overlap: Fraction of its side that a window shares with the next one, 0 to 0.9, by default 0.2.
            dtype: Type of the parameters: "float32", "bfloat16", "float16" or "auto"; see `load_trained`.

        Raises:
            InputError: The recipe has no segmentation model, the file does not contain all of its weights, the number
                of names is not that of the model's classes, or the windows cannot be used.
        """
        num_classes = OmegaConf.select(cfg, "model.decode_head.num_classes", default=None)
        views = OmegaConf.select(cfg, "dataloader.test.mapper.views", default=None)
        if num_classes is None or views is None:
            raise InputError(
                "the config has no model.decode_head.num_classes with dataloader.test.mapper.views: give a config for "
                "semantic segmentation, such as projects/SemSeg/configs/ade20k_ss.py."
            )
        # Names are checked first, because loading a large model takes long.
        if class_names is None:
            names = find_class_names(cfg, num_classes, weights)
        else:
            names = match_given_names(class_names.names, num_classes, cfg, weights)
        cfg = copy.deepcopy(cfg)
        set_windows(cfg, slice_size=slice_size, overlap=overlap)
        return cls(load_trained(cfg, weights, Segmenter, dtype, device), instantiate(views), names, device)

    def prepare(self, image: np.ndarray, path: str = "") -> ImageSample:
        """Make the views of an image [H, W, 3] uint8 RGB of any size."""
        return ImageSample(path, image, image.shape[:2], self.views(image))

    def backbone_input(self, sample: ImageSample) -> torch.Tensor:
        """Return the first view without its padding, [1, 3, H, W]."""
        view, inference = sample.inputs[0], self.model.inference
        height, width = view["content"]
        pixels = view["pixels"][None, :, :height, :width].float()
        return (pixels - inference.pixel_mean) / inference.pixel_std

    @torch.inference_mode()
    def predict(self, samples: Sequence[ImageSample]) -> list[LabelMapResult]:
        """Return the class of every pixel of each image.

        Raises:
            InputError: The model's scores are not finite.
        """
        results = []
        for sample in samples:
            height, width = sample.size
            labels = self.model.predict_labels({"views": sample.inputs, "height": height, "width": width})
            result = LabelMapResult(
                path=sample.path, image=sample.image, class_names=self.class_names, labels=labels.cpu().numpy()
            )
            results.append(result)
        return results


def find_class_names(cfg: Any, num_classes: int, weights: str | Path = "") -> tuple[str, ...]:
    """Return a name for each class: those that the run stored, or those of the recipe's test or training data.

    Without any names in the recipe, the classes are called "class 0", "class 1", and so on.

    Raises:
        InputError: The list of names cannot be read, or does not have one name for each class.
    """
    stored, source = stored_categories(cfg, weights)
    if stored is not None:
        return match_names(stored.names, num_classes, source)
    for loader in ("test", "train"):
        dataset = OmegaConf.select(cfg, f"dataloader.{loader}.dataset", default=None)
        if dataset is None:
            continue
        listed = dataset.get("class_names")
        if listed is not None:
            names = read_categories(listed).names if isinstance(listed, str) else tuple(listed)
            return match_names(names, num_classes, f"dataloader.{loader}.dataset")
        if dataset.get("names"):
            registered = MetadataCatalog.get(dataset.names).get("stuff_classes")
            return match_names(registered or None, num_classes, dataset.names)
    return match_names(None, num_classes, "the config")
