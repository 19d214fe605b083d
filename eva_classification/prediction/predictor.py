"""A classifier with its weights, class names and test-time transform: pictures in, their most likely classes out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import instantiate
from omegaconf import OmegaConf
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.finite_outputs import finite_outputs
from eva_engine.prediction.categories import match_names
from eva_engine.prediction.trained_model import load_trained, pick_device

from ..classifier import Classifier
from .class_names import find_class_names


class ClassPrediction(NamedTuple):
    """A class: its number, its name, and its probability, 0 to 1."""

    number: int
    name: str
    probability: float


def most_likely(probabilities: torch.Tensor, class_names: Sequence[str], count: int) -> list[ClassPrediction]:
    """The `count` most likely classes (fewer if there are no more) of probabilities [K], best first."""
    best = probabilities.topk(min(count, len(probabilities)))
    return [
        ClassPrediction(number, class_names[number], value)
        for value, number in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def in_words(guesses: Sequence[ClassPrediction]) -> str:
    """Classes and their probabilities as a line of text."""
    return ", ".join(f"{guess.name} {guess.probability:.1%}" for guess in guesses)


def as_records(guesses: Sequence[ClassPrediction]) -> list[dict[str, Any]]:
    """Classes as JSON has them: [{"class": number, "name": ..., "probability": 0 to 1}, ...]."""
    return [
        {"class": guess.number, "name": guess.name, "probability": round(guess.probability, 6)} for guess in guesses
    ]


class ClassPredictor:
    """Build the config's classifier, load weights, and classify.

    Args:
        cfg: a recipe of ``projects/Classification/configs`` that has a classifier, or what a run left of one.
        weights: a weight file of the model.
        device: ``"auto"`` (CUDA where there is one, else the CPU) or a torch device name.
        class_names: one per output; found by :func:`find_class_names` when not given, or else the number.

    Raises:
        InputError: no classifier, weights that leave a part of it random, or names of another number of classes.

    Attributes:
        class_names: one per output of the model.
    """

    def __init__(
        self, cfg: Any, weights: str | Path, device: str = "auto", class_names: Sequence[str] | None = None
    ) -> None:
        num_classes = OmegaConf.select(cfg, "model.num_classes", default=None)
        transform = OmegaConf.select(cfg, "dataloader.test.mapper.transform", default=None)
        if num_classes is None or transform is None:
            raise InputError(
                "the config has no classifier with dataloader.test.mapper.transform: give a classification config, "
                "such as projects/Classification/configs/in1k_336.py."
            )
        if class_names is None:
            self.class_names = find_class_names(cfg, num_classes)
        else:
            self.class_names = match_names(class_names, num_classes, "the list given")
        self.device = pick_device(device)
        self.transform = instantiate(transform)
        self.model = load_trained(cfg, weights, Classifier).to(self.device)

    def prepare(self, image: np.ndarray) -> torch.Tensor:
        """A picture [H, W, 3] uint8 RGB of any size to normalised pixels [3, S, S]."""
        return self.transform(Image.fromarray(image))

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor, count: int = 5) -> list[list[ClassPrediction]]:
        """The `count` most likely classes (fewer if there are no more) of each image of [B, 3, S, S], best first.

        Raises:
            InputError: logits that are no finite numbers.
        """
        probabilities = finite_outputs(self.model(pixels), "logits").softmax(1)
        return [most_likely(row, self.class_names, count) for row in probabilities]
