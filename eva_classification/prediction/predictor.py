"""Predict the most likely classes of images with a trained classifier."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.config.class_list import match_given_names
from eva_engine.config.instantiation import instantiate
from eva_engine.finite_outputs import finite_outputs
from eva_engine.prediction.categories import Categories, match_names
from eva_engine.prediction.predictor import ImagePredictor, ImageSample
from eva_engine.prediction.trained_model import applies_exif_orientation, load_trained, pick_device

from ..classifier import Classifier
from .class_names import find_class_names
from .result import ClassificationResult


class ClassPredictor(ImagePredictor[ClassificationResult]):
    """Predict the most likely classes of images.

    Args:
        model: The classifier; it is moved to the device and put in evaluation mode.
        transform: Maps an RGB PIL image to normalised pixels [3, S, S].
        class_names: Name of each output of the model.
        device: "auto" (CUDA or Apple's GPU if available, else the CPU) or the name of a torch device.
        apply_exif_orientation: Whether images are turned as their orientation tag says.
        top: Number of classes in a result; all if the model has fewer.

    Raises:
        InputError: The device cannot be used, or the number of names is not that of the model's outputs.

    Attributes:
        class_names: Name of each output of the model.
    """

    batch_size = 16
    call_options = ("top",)
    model: Classifier

    def __init__(
        self,
        model: Classifier,
        transform: Callable[[Image.Image], torch.Tensor],
        class_names: Sequence[str],
        device: str = "auto",
        *,
        apply_exif_orientation: bool = True,
        top: int = 5,
    ) -> None:
        self.class_names = match_names(class_names, model.num_classes, "the list given")
        self.transform = transform
        self.apply_exif_orientation = apply_exif_orientation
        self.top = top
        self.model = model.to(pick_device(device)).eval()

    @classmethod
    def from_config(
        cls,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        *,
        class_names: Categories | None = None,
        top: int = 5,
        dtype: str = "float32",
    ) -> "ClassPredictor":
        """Build the classifier and the test transform of a recipe, and load the weights.

        Args:
            cfg: Recipe of a classifier, as in projects/Classification/configs, or the config.yaml of a run.
            weights: Weight file of the model.
            device: "auto" (CUDA or Apple's GPU if available, else the CPU) or the name of a torch device.
            class_names: Name of each output; None to find them with `find_class_names`.
            top: Number of classes in a result.
            dtype: Type of the parameters: "float32", "bfloat16", "float16" or "auto"; see `load_trained`.

        Raises:
            InputError: The recipe has no classifier, the file does not contain all its weights, or the number of names
                is not that of the model's outputs.
        """
        num_classes = OmegaConf.select(cfg, "model.num_classes", default=None)
        transform = OmegaConf.select(cfg, "dataloader.test.mapper.transform", default=None)
        if num_classes is None or transform is None:
            raise InputError(
                "the config has no classifier with dataloader.test.mapper.transform: give a classification config, "
                "such as projects/Classification/configs/in1k_336.py."
            )
        # The names are checked first: loading a large model takes long.
        if class_names is None:
            names = find_class_names(cfg, num_classes, weights)
        else:
            names = match_given_names(class_names.names, num_classes, cfg, weights)
        return cls(
            load_trained(cfg, weights, Classifier, dtype, device),
            instantiate(transform),
            names,
            device,
            apply_exif_orientation=applies_exif_orientation(cfg),
            top=top,
        )

    def prepare(self, image: np.ndarray, path: str = "") -> ImageSample:
        """Transform an image [H, W, 3] uint8 RGB of any size to normalised pixels [3, S, S]."""
        return ImageSample(path, image, image.shape[:2], self.transform(Image.fromarray(image)))

    def backbone_input(self, sample: ImageSample) -> torch.Tensor:
        """Return the transformed image, [1, 3, S, S]."""
        return sample.inputs[None]

    @torch.inference_mode()
    def predict(self, samples: Sequence[ImageSample]) -> list[ClassificationResult]:
        """Return the most likely classes of each image.

        Raises:
            InputError: The logits are not finite.
        """
        pixels = torch.stack([sample.inputs for sample in samples])
        probabilities = finite_outputs(self.model(pixels), "logits").softmax(1)
        results = []
        for sample, row in zip(samples, probabilities, strict=True):
            result = ClassificationResult.from_probabilities(
                row, self.top, path=sample.path, image=sample.image, class_names=self.class_names
            )
            results.append(result)
        return results
