"""Data: gradients from dark to bright, rotated by quarter turns."""

import numpy as np
import torch
from torch import Tensor

from eva_engine.memory.synthetic_batch import SyntheticBatch

SIDE = 28


class Gradients:
    """Records of images that are brightest at one side."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict:
        return {"file_name": f"gradient {index}", "turns": index % 4}


def read_gradient(record: dict) -> dict:
    image = np.tile(np.linspace(-1, 1, SIDE, dtype=np.float32), (3, SIDE, 1))
    return {**record, "image": np.rot90(image, record["turns"], axes=(1, 2)).copy()}


def collate(samples: list[dict]) -> dict[str, Tensor]:
    images = torch.from_numpy(np.stack([sample["image"] for sample in samples]))
    return {"image": images, "label": torch.tensor([sample["turns"] for sample in samples])}


class RotationSyntheticBatch(SyntheticBatch):
    """Batches of a recipe's size for memory plans."""

    @property
    def side(self) -> int:
        return SIDE

    def make(self, num_samples: int) -> dict[str, Tensor]:
        image = torch.zeros(()).expand(num_samples, 3, SIDE, SIDE)
        return {"image": image, "label": torch.arange(num_samples) % 4}

    def resolution_overrides(self, side: int) -> list[str]:  # noqa: ARG002
        return []
