"""Zero-shot classification with free-text labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor

from eva_engine.config.instantiation import instantiate
from eva_engine.finite_outputs import finite_outputs
from eva_engine.prediction.trained_model import load_trained, pick_device

from ..clip import Clip
from ..evaluation import build_zero_shot_weights
from ..tokenizer import Tokenizer
from ..transforms import Transform, evaluation_transform

DEFAULT_TEMPLATES = ("a photo of {}.",)
# Encoding more prompts than this takes long enough for a progress bar.
_MANY_PROMPTS = 1000


class LabelScore(NamedTuple):
    """Score of a label for an image.

    Attributes:
        label_index: Index of the label.
        label: Text of the label.
        probability: Probability among all labels, 0 to 1.
        similarity: Cosine similarity of the label's and the image's features.
    """

    label_index: int
    label: str
    probability: float
    similarity: float


class LabelPredictor:
    """Encode the labels once, then score images.

    Args:
        model: The model; it is moved to the device and put in evaluation mode.
        transform: Function from an RGB PIL image to normalised pixels [3, S, S].
        labels: K texts.
        templates: Texts with {} for the label; the features of a label are averaged over them.
        device: "auto" (CUDA if available, else the CPU) or the name of a torch device.

    Raises:
        InputError: The device cannot be used, or the features of the labels are not finite.

    Attributes:
        labels: The labels.
        cut_labels: Labels with a prompt that exceeded the context length of the model and was cut.
        context_length: Maximum number of tokens of a prompt, start and end tokens included.
    """

    def __init__(
        self,
        model: Clip,
        transform: Transform,
        labels: Sequence[str],
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        device: str = "auto",
    ) -> None:
        self.model = model.to(pick_device(device)).eval()
        self.transform = transform
        self.labels = tuple(labels)
        self.context_length = model.text.context_length
        tokenizer = _PromptTokenizer(self.context_length)
        show_progress = len(labels) * len(templates) > _MANY_PROMPTS
        weights = build_zero_shot_weights(self.model, tokenizer, self.labels, templates, progress=show_progress)
        self.weights = finite_outputs(weights, "text features")
        # All prompts of a label are consecutive, one for each template. A dict keeps the order and drops repetitions.
        cut_labels = [self.labels[prompt_index // len(templates)] for prompt_index in tokenizer.cut_prompts]
        self.cut_labels = tuple(dict.fromkeys(cut_labels))

    @classmethod
    def from_config(
        cls,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        *,
        labels: Sequence[str],
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        dtype: str = "float32",
    ) -> "LabelPredictor":
        """Build the model and the test transform of a recipe, and load the weights.

        Args:
            cfg: Recipe with both towers, such as those in projects/CLIP/configs, or the config.yaml of a run.
            weights: Weight file of the model, with the names of the original release or of open_clip.
            device: "auto" (CUDA if available, else the CPU) or the name of a torch device.
            labels: K texts.
            templates: Texts with {} for the label.
            dtype: Type of the parameters: "float32", "bfloat16", "float16" or "auto"; see `load_trained`.

        Raises:
            InputError: The recipe has no EVA-CLIP model, or the file does not contain all its weights; or see the
                class.
        """
        model = load_trained(cfg, weights, Clip, dtype, device)
        transform_cfg = OmegaConf.select(cfg, "dataloader.test.mapper.transform", default=None)
        if transform_cfg is None:  # recipes for training only
            transform = evaluation_transform(model.visual.pos_grid[-1] * model.visual.patch_size)
        else:
            transform = instantiate(transform_cfg)
        return cls(model, transform, labels, templates, device)

    def prepare(self, image: np.ndarray) -> Tensor:
        """Transform an image [H, W, 3] uint8 RGB of any size to normalised pixels [3, S, S]."""
        return self.transform(Image.fromarray(image))

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> list[list[LabelScore]]:
        """Score all labels for each image of a batch [B, 3, S, S].

        Returns:
            For each image the scores of all labels, best first; equal ones in the order of the labels.

        Raises:
            InputError: The features are not finite.
        """
        features = finite_outputs(self.model.encode_image(pixels, normalize=True), "image features")
        similarities = features @ self.weights.T
        probabilities = (self.model.logit_scale.float().exp() * similarities).softmax(1)
        # Sorted by similarity, because probabilities of unlikely labels may both be rounded to 0.
        order = similarities.argsort(dim=1, descending=True, stable=True)
        images = []
        for indices, chances, cosines in zip(
            order.tolist(), probabilities.tolist(), similarities.tolist(), strict=True
        ):
            images.append([LabelScore(i, self.labels[i], chances[i], cosines[i]) for i in indices])
        return images


class _PromptTokenizer:
    """Tokenize consecutive batches of prompts and record which prompts were cut.

    Attributes:
        cut_prompts: Indices of the cut prompts over all batches.
    """

    def __init__(self, context_length: int) -> None:
        self.tokenizer = Tokenizer(context_length)
        self.cut_prompts: list[int] = []
        self.num_prompts = 0

    def __call__(self, texts: list[str]) -> Tensor:
        ids, cut = self.tokenizer.tokenize(texts)
        self.cut_prompts.extend(self.num_prompts + index for index in cut)
        self.num_prompts += len(texts)
        return ids
