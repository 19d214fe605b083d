"""Tiny models of real recipes, loaded through the front door, and images of blocks of random colours."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from omegaconf import DictConfig
from PIL import Image

import eva_vision
from eva_clip import create_clip_model
from eva_engine.config import load_config
from eva_engine.config.instantiation import instantiate
from eva_engine.prediction.video import VideoWriter

ROOT = Path(__file__).parents[2]
CLIP_RECIPE = """
from detectron2.config import LazyCall as L
from omegaconf import OmegaConf
from eva_clip import build_model
model = L(build_model)(name="eva_clip_tiny")
dataloader = OmegaConf.create()
optimizer = lr_multiplier = OmegaConf.create()
train = OmegaConf.create()
"""


class Tiny(NamedTuple):
    """A model with what the command needs to load it."""

    model: eva_vision.Model
    weights: Path
    recipe: str
    overrides: list[str]
    cfg: DictConfig

    @property
    def arguments(self) -> list[str]:
        options = ["--config-file", self.recipe, "--weights", str(self.weights), "--device", "cpu"]
        return [*options, *self.overrides]


def build(folder: Path, recipe: str, overrides: list[str], **options) -> Tiny:
    torch.manual_seed(1)
    cfg = load_config(recipe, overrides)
    net = instantiate(cfg.model)
    if hasattr(net, "head"):
        torch.nn.init.normal_(net.head.weight)  # the initial weights make all classes equally likely
    torch.save({"model": net.state_dict()}, folder / "tiny.pth")
    weights = folder / "tiny.pth"
    model = eva_vision.load(weights, config_file=recipe, overrides=overrides, device="cpu", **options)
    return Tiny(model, weights, recipe, overrides, cfg)


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    overrides = (ROOT / "tests/data/tiny_cascade_mask_rcnn.txt").read_text().split()
    recipe = str(ROOT / "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py")
    return build(tmp_path_factory.mktemp("detector"), recipe, overrides, score_threshold=0.0)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    overrides = ["model.embed_dim=32", "model.depth=2", "model.num_heads=2", "model.img_size=28"]
    recipe = str(ROOT / "projects/Classification/configs/in1k_336.py")
    return build(tmp_path_factory.mktemp("classifier"), recipe, overrides)


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    recipe = str(ROOT / "projects/SemSeg/configs/demo/upernet_eva02_tiny_microscope.py")
    return build(tmp_path_factory.mktemp("segmenter"), recipe, [])


@pytest.fixture(scope="session")
def video_classifier(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    overrides = ["model.embed_dim=32", "model.depth=2", "model.num_heads=2", "model.img_size=28", "model.num_frames=4"]
    recipe = str(ROOT / "projects/Video/configs/kinetics400.py")
    return build(tmp_path_factory.mktemp("video"), recipe, overrides, top=3)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> eva_vision.Model:
    folder = tmp_path_factory.mktemp("clip")
    (folder / "recipe.py").write_text(CLIP_RECIPE)
    torch.manual_seed(1)
    model = create_clip_model("eva_clip_tiny")
    torch.nn.init.normal_(model.visual.head.weight, std=0.3)  # initially so close to zero that images hardly differ
    torch.save({"model": model.state_dict()}, folder / "tiny.pt")
    return eva_vision.load(folder / "tiny.pt", config_file=folder / "recipe.py", device="cpu")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two images and a text file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in {"a.png": (75, 100), "b.png": (100, 50)}.items():
        Image.fromarray(blocks(size)).save(folder / name)
    (folder / "notes.txt").write_text("not an image")
    return folder


def blocks(size: tuple[int, int]) -> np.ndarray:
    """[H, W, 3] uint8 RGB."""
    colors = np.random.default_rng(sum(size)).integers(0, 255, (size[0] // 25, size[1] // 25, 3), np.uint8)
    return colors.repeat(25, axis=0).repeat(25, axis=1)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Five frames, the number of each times 40 as its grey value."""
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 64, 48, Fraction(10), Fraction(1, 1000)) as writer:
        for number in range(5):
            writer.write(np.full((48, 64, 3), 40 * number, np.uint8), 100 * number)
    return path
