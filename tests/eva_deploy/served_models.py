"""Tiny models of real recipes with random weights, and services that predict with them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from eva_clip import create_clip_model
from eva_deploy.page.limits import Limits
from eva_deploy.page.service import PredictionService
from eva_engine.config import load_config
from eva_engine.config.instantiation import instantiate
from eva_engine.prediction.load_predictor import build_predictor, load_recipe

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
_CLASSIFIER = ["model.embed_dim=32", "model.depth=2", "model.num_heads=2", "model.img_size=28"]


class TinyModel(NamedTuple):
    """The files of a model."""

    weights: Path
    recipe: str
    overrides: Sequence[str] = ()

    @property
    def arguments(self) -> list[str]:
        return ["--config-file", self.recipe, "--weights", str(self.weights), "--device", "cpu", *self.overrides]

    def service(self, limits: Limits | None = None, **options: Any) -> PredictionService:
        recipe = load_recipe(str(self.weights), self.recipe, self.overrides)
        predictor = build_predictor(recipe, str(self.weights), "cpu", options)
        return PredictionService(predictor, recipe.task, limits or Limits())


def tiny_model(task: str, folder: Path) -> TinyModel:
    torch.manual_seed(1)
    if task == "clip":
        (folder / "recipe.py").write_text(CLIP_RECIPE)
        net, recipe, overrides = create_clip_model("eva_clip_tiny"), str(folder / "recipe.py"), []
    else:
        path, overrides = {
            "detection": (
                "ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py",
                (ROOT / "tests/data/tiny_cascade_mask_rcnn.txt").read_text().split(),
            ),
            "classification": ("Classification/configs/in1k_336.py", _CLASSIFIER),
            "segmentation": ("SemSeg/configs/demo/upernet_eva02_tiny_microscope.py", []),
            "video": ("Video/configs/kinetics400.py", [*_CLASSIFIER, "model.num_frames=4"]),
        }[task]
        recipe = str(ROOT / "projects" / path)
        net = instantiate(load_config(recipe, overrides).model)
        if task == "detection":
            for predictor in net.roi_heads.box_predictor:  # initially, all scores are nearly the same
                torch.nn.init.normal_(predictor.cls_score.weight, std=0.3)
    torch.save({"model": net.state_dict()}, folder / "tiny.pth")
    return TinyModel(folder / "tiny.pth", recipe, overrides)
