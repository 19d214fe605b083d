"""Predict the most likely classes of images with a trained classifier."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.config.class_list import match_given_names
from eva_engine.config.instantiation import instantiate
from eva_engine.finite_outputs import finite_outputs
from eva_engine.prediction.categories import match_names
from eva_engine.prediction.trained_model import load_trained, pick_device

from ..classifier import Classifier
from .class_names import find_class_names


class ClassPrediction(NamedTuple):
    """A predicted class: its index, its name, and its probability, 0 to 1."""

    class_index: int
    name: str
    probability: float


def top_classes(probabilities: torch.Tensor, class_names: Sequence[str], count: int) -> list[ClassPrediction]:
    """Return the `count` most likely classes of probabilities [K], best first; all K if there are fewer."""
    top = probabilities.topk(min(count, len(probabilities)))
    predictions = []
    for class_index, probability in zip(top.indices.tolist(), top.values.tolist(), strict=True):
        predictions.append(ClassPrediction(class_index, class_names[class_index], probability))
    return predictions


def format_classes(predictions: Sequence[ClassPrediction]) -> str:
    """Format classes and their probabilities as one line of text."""
    return ", ".join(f"{prediction.name} {prediction.probability:.1%}" for prediction in predictions)


def to_records(predictions: Sequence[ClassPrediction]) -> list[dict[str, Any]]:
    """Convert classes for JSON: [{"class": index, "name": ..., "probability": 0 to 1}, ...]."""
    records = []
    for class_index, name, probability in predictions:
        records.append({"class": class_index, "name": name, "probability": round(probability, 6)})
    return records


class ClassPredictor:
    """Predict the most likely classes of images.

    Args:
        model: The classifier; it is moved to the device and put in evaluation mode.
        transform: Maps an RGB PIL image to normalised pixels [3, S, S].
        class_names: Name of each output of the model.
        device: "auto" (CUDA if available, else the CPU) or the name of a torch device.

    Raises:
        InputError: The device cannot be used, or the number of names is not that of the model's outputs.

    Attributes:
        class_names: Name of each output of the model.
    """

    def __init__(
        self,
        model: Classifier,
        transform: Callable[[Image.Image], torch.Tensor],
        class_names: Sequence[str],
        device: str = "auto",
    ) -> None:
        self.class_names = match_names(class_names, model.num_classes, "the list given")
        self.transform = transform
        self.model = model.to(pick_device(device)).eval()

    @classmethod
    def from_config(
        cls,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        class_names: Sequence[str] | None = None,
        *,
        dtype: str = "float32",
    ) -> "ClassPredictor":
        """Build the classifier and the test transform of a recipe, and load the weights.

        Args:
            cfg: Recipe of a classifier, as in projects/Classification/configs, or the config.yaml of a run.
            weights: Weight file of the model.
            device: "auto" (CUDA if available, else the CPU) or the name of a torch device.
            class_names: Name of each output; None to find them with `find_class_names`.
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
            names = match_given_names(class_names, num_classes, cfg, weights)
        return cls(load_trained(cfg, weights, Classifier, dtype, device), instantiate(transform), names, device)

    def prepare(self, image: np.ndarray) -> torch.Tensor:
        """Transform an image [H, W, 3] uint8 RGB of any size to normalised pixels [3, S, S]."""
        return self.transform(Image.fromarray(image))

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor, count: int = 5) -> list[list[ClassPrediction]]:
        """Return the `count` most likely classes of each image of [B, 3, S, S], best first; all if there are fewer.

        Raises:
            InputError: The logits are not finite.
        """
        probabilities = finite_outputs(self.model(pixels), "logits").softmax(1)
        return [top_classes(row, self.class_names, count) for row in probabilities]
