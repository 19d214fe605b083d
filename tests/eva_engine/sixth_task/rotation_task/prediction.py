"""Prediction: the angle of image files."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from eva_engine.prediction import FileTask
from eva_engine.prediction.json_text import json_lines
from eva_engine.prediction.predictor import ImagePredictor, ImageSample
from eva_engine.prediction.result import Result
from eva_engine.prediction.trained_model import load_trained, pick_device

from .data import SIDE
from .model import RotationModel


@dataclass(eq=False, repr=False, kw_only=True)
class RotationResult(Result):
    """The angle by which an image is turned."""

    angle: float

    def summary(self) -> str:
        return f"turned by {self.angle:g}"

    def records(self) -> list[dict]:
        return [{"angle": self.angle}]

    def to_dict(self) -> dict:
        return {"image": self.path, "angle": self.angle}

    def _draw(self, image: np.ndarray) -> np.ndarray:
        return np.rot90(image, round(self.angle / 90))


class RotationPredictor(ImagePredictor[RotationResult]):
    """Predict angles."""

    def __init__(self, model, device="auto", *, radians: bool = False) -> None:
        self.device = pick_device(device)
        self.model = model.to(self.device)
        self.radians = radians

    @classmethod
    def from_config(cls, cfg, weights, device="auto", *, radians: bool = False):
        return cls(load_trained(cfg, weights, RotationModel), device, radians=radians)

    def prepare(self, image, path="") -> ImageSample:
        pixels = np.asarray(Image.fromarray(image).resize((SIDE, SIDE)), dtype=np.float32) / 127.5 - 1
        return ImageSample(path, image, image.shape[:2], torch.from_numpy(pixels.transpose(2, 0, 1)))

    @torch.inference_mode()
    def predict(self, samples) -> list[RotationResult]:
        results = []
        images = torch.stack([sample.inputs for sample in samples]).to(self.device)
        for sample, turns in zip(samples, self.model({"image": images}).argmax(1).tolist(), strict=True):
            angle = turns * (math.pi / 2 if self.radians else 90)
            results.append(RotationResult(path=sample.path, image=sample.image, class_names=(), angle=angle))
        return results


class RotationFileTask(FileTask):
    """Write the angle of each image to angles.jsonl."""

    def open(self, stack) -> None:
        self.write_line = stack.enter_context(json_lines(self.folder / "angles.jsonl"))

    def write(self, item, result) -> None:
        self.write_line({"image": str(item.path), "angle": result.angle})
