"""The recipes for custom data: what they start from, and that they build."""

from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

from eva_engine.config import load_config
from eva_engine.training.optimization import build_optimizer

FOLDER = Path(__file__).parents[2] / "projects" / "ViTDet" / "configs" / "custom"
RECIPES = ("base_24gb", "large_24gb", "tiny_cpu")


def build(name):
    cfg = load_config(str(FOLDER / f"{name}.py"))
    with torch.device("meta"):
        return cfg, instantiate(cfg.model)


def test_all_recipes_are_tested():
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == sorted(RECIPES)


@pytest.mark.parametrize(("name", "millions"), [("tiny_cpu", 3.5), ("base_24gb", 141), ("large_24gb", 361)])
def test_models_have_their_sizes_and_optimizers(name, millions):
    cfg, model = build(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(millions * 10**6, rel=0.1)
    assert build_optimizer(cfg, model).param_groups
    assert cfg.fit is not None


def test_the_tiny_recipe_trains_and_detects_in_images_of_any_shape():
    cfg = load_config(str(FOLDER / "tiny_cpu.py"))
    model = instantiate(cfg.model).eval()
    images = [{"image": torch.randint(0, 256, (3, 40, 90), dtype=torch.uint8), "height": 80, "width": 180}]
    with torch.no_grad():
        (found,) = model(images)
    assert found["instances"].image_size == (80, 180)
    assert len(found["instances"]) <= 100


@pytest.mark.parametrize("name", ["base_24gb", "large_24gb"])
def test_recipes_with_weights_keep_their_statistics_and_learn_low_rank_updates(name):
    cfg = load_config(str(FOLDER / f"{name}.py"))
    assert cfg.model.pixel_mean == [123.675, 116.28, 103.53]
    assert cfg.train.lora.rank == 16
    assert cfg.train.amp.dtype == "bfloat16"
