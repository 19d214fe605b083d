"""The table of published weights, the page of weight files and the recipes name the same files."""

import ast
import re
from pathlib import PurePosixPath

import pytest
from documented_pages import FILES, TEXTS

from eva_backbone.errors import InputError
from eva_engine.published_weights.table import all_published, find_published
from eva_engine.recipe_files import recipe_files
from eva_engine.tasks import all_tasks

# Files of other projects, which have no name.
FOREIGN = {
    *("ViT-B-16.pt", "ViT-L-14.pt", "mae_pretrain_vit_base.pth"),
    *("CLIP-ViT-H-14-laion2B-s32B-b79K.bin", "CLIP-ViT-bigG-14-laion2B-39B-b160k.bin"),
}
FOLDERS = {
    "BAAI/EVA": {"."},
    "QuanSun/EVA-CLIP": {"."},
    "Yuxin-CV/EVA-02": {
        *("eva02/pt", "eva02/det", "eva02/seg"),
        *("eva02/cls/in21k", "eva02/cls/in1k", "eva02/cls/in21k_to_in1k"),
    },
}
PUBLISHED = all_published()


def file_names() -> set[str]:
    return {PurePosixPath(file.file).name for file in PUBLISHED.values()}


def test_the_page_lists_the_files_of_the_table():
    rows = re.findall(r"^\| (`.+?) \|", TEXTS[FILES].partition("\n## Placeholder names\n")[0], flags=re.M)
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == file_names() | FOREIGN


def test_recipes_name_files_of_the_table():
    for recipe in recipe_files():
        names = {name for use in ("init", "evaluate") for name in recipe.published.get(use, [])}
        assert names <= file_names() | FOREIGN, recipe.path


def test_published_files_of_recipes_are_literals_of_their_own():
    """`RecipeFile.published` reads them without executing the recipe."""
    for recipe in recipe_files():
        imported = [alias.name for node in ast.walk(ast.parse(recipe.text)) for alias in getattr(node, "names", [])]
        assert "published" not in imported, recipe.path
        assert bool(recipe.published) == bool(re.search(r"^published\b", recipe.text, flags=re.M)), recipe.path


def test_rows_are_complete_and_names_unique():
    all_files = [file for task in all_tasks() for file in task.load("published_weights") or ()]
    assert len(all_files) == len(PUBLISHED) == 66
    for file in all_files:
        assert str(PurePosixPath(file.file).parent) in FOLDERS[file.repository], file
        assert file.licence == ("Apache-2.0" if file.repository == "Yuxin-CV/EVA-02" else "MIT")
        assert re.fullmatch(r"([\d.]+ [MG]B)?", file.size), file
        assert re.fullmatch(r"([0-9a-f]{64})?", file.sha256), file


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("eva_coco_seg", "ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py"),
        ("eva_21k_1k_336px_psz14_ema_89p6", "Classification/configs/in1k_336.py"),  # and seven variants of it
        ("eva_clip_psz14", "CLIP/configs/zero_shot_in1k.py"),  # and six variants, and retrieval
        ("EVA02_CLIP_L_psz14_s4B", "CLIP/configs/eva02_clip_l14_zero_shot_in1k.py"),  # and retrieval
        ("eva_sem_seg_mask2former_ade_ss61p5_ms62p3", "SemSeg/configs/ade20k_ss.py"),  # and one at several scales
    ],
)
def test_recipe_of_a_name(name, recipe):
    assert find_published(name).recipe.path == f"projects/{recipe}"


def test_initial_weights_have_no_recipe_that_evaluates_them():
    file = find_published("eva02_L_pt_m38m_p14to16")
    assert file.recipe is None
    assert len(file.starting_recipes) >= 3


def test_unknown_name_offers_the_nearest():
    with pytest.raises(InputError, match=r"eva02_L_coco_det is neither .* did you mean eva02_L_coco_det_sys_o365\?"):
        find_published("eva02_L_coco_det")
    with pytest.raises(InputError, match=r"did you mean EVA02_CLIP_B_psz16_s8B\?"):
        find_published("eva02_clip_b")  # names are compared without case
