"""Classify video files: a model, its class names, and the views of its evaluation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.config.class_list import match_given_names, stored_categories
from eva_engine.config.instantiation import instantiate
from eva_engine.finite_outputs import finite_outputs
from eva_engine.prediction.categories import Categories, match_names
from eva_engine.prediction.download import local_file
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.predictor import Predictor
from eva_engine.prediction.trained_model import load_trained, pick_device

from ..classifier import VideoClassifier
from ..data.annotation_files import read_class_indices
from ..data.mapper import EvaluationMapper
from .result import VideoClassificationResult

MAX_FRAMES_PER_PASS = 64  # bounds the memory of a forward pass


class VideoViews(NamedTuple):
    """The views of a video.

    Attributes:
        path: File of the video.
        pixels: Normalised clips [V, 3, T, S, S].
        frames: Frames of the first clip, [T, H, W, 3] uint8 RGB.
        problem: What was wrong with the file although frames could be read, or None.
    """

    path: str
    pixels: torch.Tensor
    frames: np.ndarray
    problem: str | None


class VideoPredictor(Predictor[VideoViews, VideoClassificationResult]):
    """Classify videos with the mean of the probabilities over several views.

    Args:
        model: A video classifier; it is moved to `device` and set to evaluation mode.
        mapper: Frame sampler, transform and reader of the views, usually those of the evaluation.
        class_names: Name of each output of the model.
        device: "auto" (CUDA or Apple's GPU if available, else the CPU) or the name of a torch device.
        top: Number of classes in a result; all if the model has fewer.

    Attributes:
        model: The model.
        class_names: Name of each output of the model.
        mapper: Frame sampler, transform and reader of the views.

    Raises:
        InputError: The number of names differs from that of the model's classes, or the device cannot be used.
    """

    kinds = ("video",)
    call_options = ("top",)
    model: VideoClassifier

    def __init__(
        self,
        model: VideoClassifier,
        mapper: EvaluationMapper,
        class_names: Sequence[str],
        device: str = "auto",
        *,
        top: int = 5,
    ) -> None:
        self.class_names = match_names(class_names, model.num_classes, "class_names")
        self.model = model.to(pick_device(device)).eval()
        self.top = top
        self.mapper = mapper

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
    ) -> "VideoPredictor":
        """Build the model and the mapper of a recipe, and load weights.

        Args:
            cfg: A recipe of `projects/Video/configs`, or the config.yaml of a run.
            weights: A weight file of the model.
            device: See `VideoPredictor`.
            class_names: Name of each output; by default those that `find_class_names` returns.
            top: Number of classes in a result.
            dtype: Type of the parameters: "float32", "bfloat16", "float16" or "auto"; see `load_trained`.

        Raises:
            InputError: The recipe has no video classifier, the weights lack parameters of the model, or the number of
                names differs from that of the model's classes.
        """
        num_classes = OmegaConf.select(cfg, "model.num_classes", default=None)
        mapper = instantiate(OmegaConf.select(cfg, "dataloader.test.mapper", default=None))
        if num_classes is None or not hasattr(mapper, "frame_sampler"):
            raise InputError(
                "the config has no video classifier with dataloader.test.mapper.frame_sampler: give a video config, "
                "such as projects/Video/configs/kinetics400.py."
            )
        if class_names is None:
            names = find_class_names(cfg, num_classes, weights)
        else:
            names = match_given_names(class_names.names, num_classes, cfg, weights)
        model = load_trained(cfg, weights, VideoClassifier, dtype, device)
        # Predictions are made on video files, even if the recipe's dataset has folders of frames.
        mapper.reader.frame_pattern = None
        return cls(model, mapper, names, device, top=top)

    def read(self, item: Input) -> VideoViews:
        """Read the views of a video file.

        Raises:
            InputError: The file cannot be read.
        """
        sampler, transform = self.mapper.frame_sampler, self.mapper.transform
        with local_file(item) as path:
            clip = self.mapper.reader.read({"file_name": str(path), "label": 0}, sampler, transform.prepare)
        pixels, _ = transform(clip.frames, sampler.num_clips)
        return VideoViews(item.name, torch.from_numpy(pixels), clip.frames[: sampler.num_frames], clip.problem)

    def backbone_input(self, sample: VideoViews) -> torch.Tensor:
        """Return the first view, [1, 3, T, S, S]."""
        return sample.pixels[:1]

    @torch.inference_mode()
    def predict(self, samples: Sequence[VideoViews]) -> list[VideoClassificationResult]:
        """Return the most likely classes of each video, with probabilities averaged over its views.

        Raises:
            InputError: The model produced non-finite logits.
        """
        results = []
        for views in samples:
            result = VideoClassificationResult.from_probabilities(
                self._probabilities(views.pixels),
                self.top,
                path=views.path,
                class_names=self.class_names,
                frames=views.frames,
                problem=views.problem,
            )
            results.append(result)
        return results

    def _probabilities(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the mean probabilities [K] of the views [V, 3, T, S, S] of a video."""
        views_per_pass = max(1, MAX_FRAMES_PER_PASS // pixels.shape[2])
        probabilities = []
        for views in pixels.split(views_per_pass):
            logits = finite_outputs(self.model(views), "logits")
            probabilities.append(logits.softmax(1))
        return torch.cat(probabilities).mean(0)


def find_class_names(cfg: Any, num_classes: int, weights: str | Path = "") -> tuple[str, ...]:
    """Return a name for each output: those that the run stored, or those in `dataloader.class_names` of a recipe.

    Outputs without a name are called "class 0", "class 1", and so on.

    Raises:
        InputError: The names cannot be read, or their number differs from `num_classes`.
    """
    stored, source = stored_categories(cfg, weights)
    if stored is not None:
        return match_names(stored.names, num_classes, source)
    indices = read_class_indices(OmegaConf.select(cfg, "dataloader.class_names", default=None))
    names = None
    if indices is not None:
        name_of = {index: name for name, index in indices.items()}
        num_names = max(name_of, default=-1) + 1
        names = [name_of.get(index, f"class {index}") for index in range(num_names)]
    return match_names(names, num_classes, "dataloader.class_names")
