"""Zero-shot classification with free-text labels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.config.instantiation import instantiate
from eva_engine.finite_outputs import finite_outputs
from eva_engine.prediction.predictor import ImagePredictor, ImageSample
from eva_engine.prediction.trained_model import applies_exif_orientation, load_trained, pick_device

from ..clip import Clip
from ..evaluation import build_zero_shot_weights, read_templates
from ..tokenizer import Tokenizer
from ..transforms import Transform, evaluation_transform
from .labels import read_labels
from .result import TextScoreResult

DEFAULT_TEMPLATES = ("a photo of {}.",)
# Encoding more prompts than this takes long enough for a progress bar.
_MANY_PROMPTS = 1000


class LabelPredictor(ImagePredictor[TextScoreResult]):
    """Encode the labels once, then score images.

    Args:
        model: The model; it is moved to the device and put in evaluation mode.
        transform: Function from an RGB PIL image to normalised pixels [3, S, S].
        labels: K texts; without any, the predictor only prepares and embeds.
        templates: Texts with {} for the label; the features of a label are averaged over them.
        device: "auto" (CUDA or Apple's GPU if available, else the CPU) or the name of a torch device.
        apply_exif_orientation: Whether images are turned as their orientation tag says.
        top: Number of labels that a result shows.

    Raises:
        InputError: The device cannot be used, or the features of the labels are not finite.

    Attributes:
        labels: The labels, also called `class_names`.
        templates: The templates.
        cut_labels: Labels with a prompt that exceeded the context length of the model and was cut.
        context_length: Maximum number of tokens of a prompt, start and end tokens included.
    """

    batch_size = 16
    call_options = ("labels", "templates", "top")
    model: Clip

    def __init__(
        self,
        model: Clip,
        transform: Transform,
        labels: Sequence[str] = (),
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        device: str = "auto",
        *,
        apply_exif_orientation: bool = True,
        top: int = 5,
    ) -> None:
        self.model = model.to(pick_device(device)).eval()
        self.transform = transform
        self.apply_exif_orientation = apply_exif_orientation
        self.top = top
        self.context_length = model.text.context_length
        self._encode_labels(labels, templates)

    def _encode_labels(self, labels: Sequence[str], templates: Sequence[str]) -> None:
        self.class_names = self.labels = tuple(labels)
        self.templates = tuple(templates)
        self.cut_labels: tuple[str, ...] = ()
        if not labels:
            return
        tokenizer = _PromptTokenizer(self.context_length)
        show_progress = len(labels) * len(templates) > _MANY_PROMPTS
        weights = build_zero_shot_weights(self.model, tokenizer, self.labels, templates, progress=show_progress)
        self.weights = finite_outputs(weights, "text features")
        # All prompts of a label are consecutive, one for each template. A dict keeps the order and drops repetitions.
        cut_labels = [self.labels[prompt_index // len(templates)] for prompt_index in tokenizer.cut_prompts]
        self.cut_labels = tuple(dict.fromkeys(cut_labels))

    def with_options(
        self, *, labels: Sequence[str] | None = None, templates: Sequence[str] | None = None, **options: Any
    ) -> Self:
        """Return a predictor with the same model and other labels, templates or options; see `from_config`.

        Raises:
            InputError: The labels or templates cannot be used.
        """
        changed = super().with_options(**options)
        if labels is not None or templates is not None:
            new_labels = self.labels if labels is None else read_labels(labels)
            new_templates = self.templates if templates is None else _read_templates(templates)
            changed._encode_labels(new_labels, new_templates)
        return changed

    @classmethod
    def from_config(
        cls,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        *,
        labels: Sequence[str] | None = None,
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        top: int = 5,
        dtype: str = "float32",
    ) -> "LabelPredictor":
        """Build the model and the test transform of a recipe, and load the weights.

        Args:
            cfg: Recipe with both towers, such as those in projects/CLIP/configs, or the config.yaml of a run.
            weights: Weight file of the model, with the names of the original release or of open_clip.
            device: "auto" (CUDA or Apple's GPU if available, else the CPU) or the name of a torch device.
            labels: Two or more labels, or a text file with one per line, see `read_labels`; None for a predictor that
                gets them by `with_options`, or only embeds.
            templates: Texts with {} for the label, or a single source of them; see `read_templates`.
            top: Number of labels that a result shows.
            dtype: Type of the parameters: "float32", "bfloat16", "float16" or "auto"; see `load_trained`.

        Raises:
            InputError: The labels or templates cannot be used, the recipe has no EVA-CLIP model, or the file does not
                contain all its weights; or see the class.
        """
        # The texts are checked first, because loading a large model takes long.
        labels = () if labels is None else read_labels(labels)
        templates = _read_templates(templates)
        model = load_trained(cfg, weights, Clip, dtype, device)
        transform_cfg = OmegaConf.select(cfg, "dataloader.test.mapper.transform", default=None)
        if transform_cfg is None:  # recipes for training only
            transform = evaluation_transform(model.visual.pos_grid[-1] * model.visual.patch_size)
        else:
            transform = instantiate(transform_cfg)
        exif = applies_exif_orientation(cfg)
        return cls(model, transform, labels, templates, device, apply_exif_orientation=exif, top=top)

    def check_ready(self) -> None:
        """Raise InputError if there are no labels."""
        if not self.labels:
            raise InputError(
                'there are no labels to compare with images; give some, such as labels=["a cat", "a dog"].'
            )

    def prepare(self, image: np.ndarray, path: str = "") -> ImageSample:
        """Transform an image [H, W, 3] uint8 RGB of any size to normalised pixels [3, S, S]."""
        return ImageSample(path, image, image.shape[:2], self.transform(Image.fromarray(image)))

    def backbone_input(self, sample: ImageSample) -> Tensor:
        """Return the transformed image, [1, 3, S, S]."""
        return sample.inputs[None]

    def _image_features(self, samples: Sequence[ImageSample]) -> Tensor:
        pixels = torch.stack([sample.inputs for sample in samples])
        return finite_outputs(self.model.encode_image(pixels, normalize=True), "image features")

    @torch.inference_mode()
    def embed_images(self, samples: Sequence[ImageSample]) -> np.ndarray:
        """Return the features of a batch of images, [N, D] float32 of length 1.

        Raises:
            InputError: The features are not finite.
        """
        return self._image_features(samples).cpu().numpy()

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return the features of texts, [N, D] float32 of length 1; a text that is too long is cut.

        Raises:
            InputError: The features are not finite.
        """
        ids, _ = Tokenizer(self.context_length).tokenize(list(texts))
        return finite_outputs(self.model.encode_text(ids, normalize=True), "text features").cpu().numpy()

    @torch.inference_mode()
    def predict(self, samples: Sequence[ImageSample]) -> list[TextScoreResult]:
        """Score all labels for each image.

        Raises:
            InputError: There are no labels, or the features are not finite.
        """
        self.check_ready()
        features = self._image_features(samples)
        similarities = features @ self.weights.T
        probabilities = (self.model.logit_scale.float().exp() * similarities).softmax(1)
        results = []
        for sample, cosines, chances in zip(samples, similarities, probabilities, strict=True):
            result = TextScoreResult.from_similarities(
                cosines, chances, path=sample.path, image=sample.image, class_names=self.labels, top=self.top
            )
            results.append(result)
        return results


def _read_templates(given: Sequence[str]) -> Sequence[str]:
    return read_templates(given[0] if len(given) == 1 else given)


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
