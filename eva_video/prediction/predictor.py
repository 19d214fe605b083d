"""A video classifier with its weights, class names and views: a video in, its most likely classes out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import instantiate
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_classification.prediction.predictor import ClassPrediction, most_likely
from eva_engine.finite_outputs import finite_outputs
from eva_engine.prediction.categories import match_names
from eva_engine.prediction.trained_model import load_trained, pick_device

from ..classifier import VideoClassifier
from .class_names import find_class_names

FRAMES_AT_ONCE = 64  # that the model gets


class VideoViews(NamedTuple):
    """A video as the model sees it.

    Attributes:
        pixels: normalised clips [V, 3, T, S, S].
        frames: the frames of its first clip, [T, H, W, 3] uint8 RGB.
        problem: what is wrong with the file although frames could be read, or None.
    """

    pixels: torch.Tensor
    frames: np.ndarray
    problem: str | None


class VideoPredictor:
    """Build the config's classifier, load weights, and classify with the views of the config's evaluation.

    Args:
        cfg: a recipe of ``projects/Video/configs``, or what a run left of one.
        weights: a weight file of the model.
        device: ``"auto"`` (CUDA where there is one, else the CPU) or a torch device name.
        class_names: one per output; found by :func:`find_class_names` when not given, or else the number.

    Raises:
        InputError: no video classifier, weights that leave a part of it random, or names of another number of classes.

    Attributes:
        class_names: one per output of the model.
    """

    def __init__(
        self, cfg: Any, weights: str | Path, device: str = "auto", class_names: Sequence[str] | None = None
    ) -> None:
        num_classes = OmegaConf.select(cfg, "model.num_classes", default=None)
        mapper = OmegaConf.select(cfg, "dataloader.test.mapper", default=None)
        if num_classes is None or OmegaConf.select(cfg, "dataloader.test.mapper.frames", default=None) is None:
            raise InputError(
                "the config has no video classifier with dataloader.test.mapper.frames: give a video config, such as "
                "projects/Video/configs/kinetics400.py."
            )
        if class_names is None:
            self.class_names = find_class_names(cfg, num_classes)
        else:
            self.class_names = match_names(class_names, num_classes, "the list given")
        self.model = load_trained(cfg, weights, VideoClassifier).to(pick_device(device))
        self._mapper = instantiate(mapper)
        # Also where the recipe's data are folders of frames, what is classified are files.
        self._mapper.reading.frame_pattern = None

    def read(self, path: str | Path) -> VideoViews:
        """The views of a video file.

        Raises:
            InputError: it cannot be read.
        """
        choose, transform = self._mapper.frames, self._mapper.transform
        clip = self._mapper.reading.read({"file_name": str(path), "label": 0}, choose, transform.prepare)
        pixels, _ = transform(clip.frames, choose.num_clips)
        return VideoViews(torch.from_numpy(pixels), clip.frames[: choose.num_frames], clip.problem)

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor, count: int = 5) -> list[ClassPrediction]:
        """The `count` most likely classes (fewer if there are no more) of a video of views [V, 3, T, S, S], best first.

        Probabilities are averaged over the views.

        Raises:
            InputError: logits that are no finite numbers.
        """
        parts = pixels.split(max(1, FRAMES_AT_ONCE // pixels.shape[2]))
        probabilities = torch.cat([finite_outputs(self.model(part), "logits").softmax(1) for part in parts]).mean(0)
        return most_likely(probabilities, self.class_names, count)
