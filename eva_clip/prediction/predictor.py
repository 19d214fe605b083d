"""A model with labels in place of classes: pictures in, how well each label fits out."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eva_engine.finite_outputs import finite_outputs
from eva_engine.prediction.trained_model import pick_device

from ..clip import Clip
from ..evaluation import build_zero_shot_weights
from ..tokenizer import Tokenizer
from ..transforms import Transform


class Match(NamedTuple):
    """A label: its number, its text, its probability among all labels (0 to 1), and the cosine with the image."""

    number: int
    label: str
    probability: float
    similarity: float


class LabelPredictor:
    """Encode the labels once, then score pictures.

    Args:
        model: the model, in evaluation mode.
        transform: from an RGB image to normalised pixels [3, S, S].
        labels: K texts.
        templates: sentences with {} in the place of the label.
        device: ``"auto"`` (CUDA where there is one, else the CPU) or a torch device name.

    Raises:
        InputError: a device that this machine does not have, or features of labels that are no finite numbers.

    Attributes:
        cut: labels of which a prompt was too long for the model and was cut.
        context_length: tokens that a prompt may have, start and end included.
    """

    def __init__(
        self, model: Clip, transform: Transform, labels: Sequence[str], templates: Sequence[str], device: str = "auto"
    ) -> None:
        self.model = model.to(pick_device(device))
        self.transform = transform
        self.labels = tuple(labels)
        self.context_length = model.text.context_length
        tokenizer = Tokenizer(self.context_length)
        cut_prompts: list[int] = []
        num_prompts = 0

        def tokenize(texts: list[str]) -> Tensor:
            nonlocal num_prompts
            ids, cut = tokenizer.tokenize(texts)
            cut_prompts.extend(num_prompts + number for number in cut)
            num_prompts += len(texts)
            return ids

        weights = build_zero_shot_weights(
            self.model, tokenize, self.labels, templates, progress=len(labels) * len(templates) > 1000
        )
        self.weights = finite_outputs(weights, "text features")
        self.cut = tuple(dict.fromkeys(self.labels[number // len(templates)] for number in cut_prompts))

    def prepare(self, image: np.ndarray) -> Tensor:
        """A picture [H, W, 3] uint8 RGB of any size to normalised pixels [3, S, S]."""
        return self.transform(Image.fromarray(image))

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> list[list[Match]]:
        """All labels of each image of [B, 3, S, S], best first, equal ones in their order.

        Raises:
            InputError: features that are no finite numbers.
        """
        features = finite_outputs(self.model.encode_image(pixels, normalize=True), "image features")
        similarities = features @ self.weights.T
        probabilities = (self.model.logit_scale * similarities).softmax(1)
        order = similarities.argsort(dim=1, descending=True, stable=True)
        return [
            [Match(number, self.labels[number], chances[number], cosines[number]) for number in numbers]
            for numbers, chances, cosines in zip(
                order.tolist(), probabilities.tolist(), similarities.tolist(), strict=True
            )
        ]
