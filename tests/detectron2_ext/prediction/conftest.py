"""A detector from the real recipe, reduced to a tiny size by overrides, with random weights in a file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from omegaconf import DictConfig
from torch import nn

from eva_engine.config import load_config

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py"
OVERRIDES = (ROOT / "tests/data/tiny_cascade_mask_rcnn.txt").read_text().split()


class TinyDetector(NamedTuple):
    cfg: DictConfig
    weights: Path
    model: nn.Module


@pytest.fixture(scope="session")
def tiny_detector(tmp_path_factory: pytest.TempPathFactory) -> TinyDetector:
    torch.manual_seed(1)
    cfg = load_config(str(RECIPE), OVERRIDES)
    model = instantiate(cfg.model).eval()
    weights = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.save({"model": model.state_dict()}, weights)
    return TinyDetector(cfg, weights, model)


@pytest.fixture(scope="session")
def image() -> np.ndarray:
    """[75, 100, 3] uint8 RGB: blocks of random colours."""
    return np.random.default_rng(0).integers(0, 255, (3, 4, 3), np.uint8).repeat(25, axis=0).repeat(25, axis=1)
