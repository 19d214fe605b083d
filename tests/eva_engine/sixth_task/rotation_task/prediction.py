"""Prediction: the angle of image files."""

import math

import numpy as np
import torch
from PIL import Image

from eva_engine.data import read_rgb_image
from eva_engine.prediction import FileTask
from eva_engine.prediction.json_text import json_lines
from eva_engine.prediction.trained_model import load_trained, pick_device

from .data import SIDE
from .model import RotationModel


class RotationFileTask(FileTask):
    """Write the angle of each image to angles.jsonl."""

    def __init__(self, cfg, weights, device="auto", *, radians: bool = False, dtype: str = "float32") -> None:
        super().__init__()
        self.device = pick_device(device)
        self.model = load_trained(cfg, weights, RotationModel, dtype, device).to(self.device)
        self.radians = radians

    def open(self, stack) -> None:
        self.write = stack.enter_context(json_lines(self.folder / "angles.jsonl"))

    def read(self, item) -> np.ndarray:
        image = Image.fromarray(read_rgb_image(item.path)).resize((SIDE, SIDE))
        return np.asarray(image, dtype=np.float32) / 127.5 - 1

    def predict(self, batch) -> None:
        for item, pixels in batch:
            image = torch.from_numpy(pixels.transpose(2, 0, 1)).unsqueeze(0).to(self.device)
            with torch.inference_mode():
                turns = int(self.model({"image": image}).argmax())
            angle = turns * (math.pi / 2 if self.radians else 90)
            self.write({"image": str(item.path), "angle": angle})
