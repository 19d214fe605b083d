"""The names and shapes of the published files, full size, against the recipes, with the manifests of the release."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from eva_backbone.errors import InputError
from eva_engine.checkpoint.file_kind import FileKind
from eva_engine.inspection import WeightFileSummary
from eva_engine.inspection.recipe_choice import choose_recipe
from eva_engine.published_weights.model_check import check_model
from eva_engine.published_weights.table import find_published
from eva_engine.recipe_files import recipe_files

MANIFESTS = Path(__file__).parents[2] / "data" / "manifests"
RECIPES = recipe_files()


@pytest.fixture
def file_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Return a function that makes every weight file look as if it had the entries of a manifest."""

    def look_like(manifest: str) -> Path:
        entries = json.loads(gzip.decompress((MANIFESTS / f"{manifest}.json.gz").read_bytes()))["entries"]
        weights = {name: torch.zeros((), dtype=getattr(torch, dtype)).expand(shape) for name, shape, dtype in entries}
        summary = WeightFileSummary(tmp_path / "mine.pth", FileKind.TORCH, 1, {}, weights, None)
        monkeypatch.setattr("eva_engine.inspection.read_summary", lambda _: summary)
        monkeypatch.setattr("eva_engine.inspection.recipe_choice.read_summary", lambda _: summary)
        return summary.path

    return look_like


@pytest.mark.parametrize(
    ("name", "manifest"),
    [
        ("eva_coco_det", "eva_coco_1280"),  # the recipe is that for 1536 pixels
        ("eva02_B_coco_bsl", "eva02_B_coco_1024"),
        ("eva02_L_lvis_sys_o365", "eva02_L_o365_to_lvis_1536"),
        ("eva_clip_psz14", "eva_clip_psz14"),
        ("eva_psz14", "eva_psz14"),
        ("eva02_B_pt_in21k_p14to16", "eva02_B_pt_in21k_p14to16"),
    ],
)
def test_published_files_are_accepted(file_of, name, manifest):
    check_model(find_published(name), file_of(manifest))


@pytest.mark.parametrize(
    ("name", "manifest", "reason"),
    [
        ("eva_coco_det", "eva_o365", r"vitdet_eva_1536\.py \(16 entries missing, 6 entries of another shape\)"),
        ("eva02_B_coco_bsl", "eva02_L_coco_1024", r"_b_4attn_1024_lrd0p7\.py \(.*it holds a ViT of width 1024"),
        ("eva_psz14", "eva02_B_pt_in21k_p14", r"it holds a ViT of width 768, depth 12"),
    ],
)
def test_other_files_are_refused(file_of, name, manifest, reason):
    with pytest.raises(InputError, match=rf"^it is not the model of projects/.*{reason}"):
        check_model(find_published(name), file_of(manifest))


@pytest.mark.parametrize(
    ("manifest", "folders", "expected"),
    [
        ("eva_coco_1280", ("COCO", "LVIS"), "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py"),
        ("eva_21k_1k_336px_psz14_ema", ("Classification",), "projects/Classification/configs/in1k_336.py"),
    ],
)
def test_recipe_of_a_renamed_file(file_of, monkeypatch, manifest, folders, expected):
    few = [recipe for recipe in RECIPES if set(folders) & set(Path(recipe.path).parts)]
    monkeypatch.setattr("eva_engine.inspection.recipes.recipe_files", lambda **_: few)
    assert choose_recipe(str(file_of(manifest))).path == expected


def test_renamed_file_of_several_recipes(file_of, monkeypatch):
    """They differ in settings that no weights show, such as windows."""
    few = [recipe for recipe in RECIPES if recipe.path.startswith("projects/ViTDet/configs/eva2_")]
    monkeypatch.setattr("eva_engine.inspection.recipes.recipe_files", lambda **_: few)
    with pytest.raises(
        InputError, match=r"mine\.pth fits 3 recipes, .*eva2_o365_to_coco.*; give one with --config-file"
    ):
        choose_recipe(str(file_of("eva02_L_coco_1024")))
