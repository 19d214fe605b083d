"""Tiny models of real recipes with random weights, and images to predict on, for tests of exports."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from eva_deploy.exporting import Exported, ExportRequest, export_model
from eva_deploy.task_export import ExportOptions
from eva_engine.config import load_config
from eva_engine.config.instantiation import instantiate
from eva_engine.prediction.load_predictor import load_recipe

ROOT = Path(__file__).parents[1]
SMALL = ("model.embed_dim=16", "model.depth=1", "model.num_heads=2", "model.img_size=28")


class TinyModel(NamedTuple):
    """A weight file with its recipe.

    Attributes:
        weights: The file.
        recipe: Path of the recipe.
        overrides: Changes to it.
    """

    weights: Path
    recipe: str
    overrides: tuple[str, ...]

    @property
    def arguments(self) -> list[str]:
        return ["--config-file", self.recipe, "--weights", str(self.weights), *self.overrides]


def tiny_model(folder: Path, recipe: str, overrides: tuple[str, ...]) -> TinyModel:
    """Write random weights that are so large that every layer matters."""
    recipe = recipe if Path(recipe).is_absolute() else str(ROOT / recipe)
    cfg = load_config(recipe, overrides)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        model = instantiate(cfg.model)
        for name, parameter in model.named_parameters():
            is_norm_weight = "norm" in name and name.endswith("weight")
            if not is_norm_weight and parameter.ndim:
                scale = 1.5 * torch.Size(parameter.shape[1:]).numel() ** -0.5 if parameter.ndim in (2, 4, 5) else 0.3
                parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({"model": model.state_dict()}, folder / "tiny.pth")
    return TinyModel(folder / "tiny.pth", recipe, overrides)


def tiny_classifier(folder: Path) -> TinyModel:
    return tiny_model(folder, "projects/Classification/configs/in1k_336.py", SMALL)


def export(tiny: TinyModel, folder: Path, format_name: str, images: Path, **changes: Any) -> Exported:
    """Export a tiny model, and compare it with the original on the images of a folder."""
    options = {name: changes.pop(name) for name in list(changes) if name in ExportOptions.__dataclass_fields__}
    request = ExportRequest(
        format=format_name, folder=folder, options=ExportOptions(**options), images=(str(images),), **changes
    )
    return export_model(load_recipe(str(tiny.weights), tiny.recipe, tiny.overrides), str(tiny.weights), request)


def write_photos(folder: Path, count: int = 2) -> Path:
    """Write images of smooth random colours, of different aspect ratios, and return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(5)
    for index in range(count):
        coarse = Image.fromarray(generator.integers(0, 255, (5, 6, 3), np.uint8))
        coarse.resize((90 + 20 * index, 70), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder
