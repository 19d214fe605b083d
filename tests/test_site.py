"""The pages that the site generates; `make docs` builds the site itself and fails on any warning."""

import re
import sys
from pathlib import Path

import pytest
from documented_pages import PAGES

from eva_engine.commands.verbs import find_verbs
from eva_engine.published_weights.table import all_published

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs" / "site"))

import model_zoo  # noqa: E402
import reference_pages  # noqa: E402


@pytest.fixture(scope="module")
def zoo():
    rows = [line for line in model_zoo.model_zoo(ROOT) if re.match(r"\| `\w", line)]
    return {row.split("`")[1]: row for row in rows}


def test_every_page_is_in_the_index():
    index = (ROOT / "docs/index.md").read_text()
    listed = {(ROOT / "docs" / f"{name}.md").resolve() for name in re.findall(r"^[\w./-]+$", index, flags=re.M)}
    assert {ROOT / page for page in PAGES} - {ROOT / "docs/index.md"} <= listed


def test_zoo_lists_every_published_file(zoo):
    assert set(zoo) == {file.name for file in all_published().values()}


def test_zoo_gives_each_file_of_a_shared_row_its_own_figures(zoo):
    assert "COCO val, 1024 px: box AP 55.5, mask AP 47.1" in zoo["eva02_B_coco_bsl"]
    assert "COCO val, 1024 px: box AP 59.2, mask AP 50.8" in zoo["eva02_L_coco_bsl"]


def test_zoo_has_the_rounded_ap_of_the_tables_with_all_figures(zoo):
    tables = model_zoo.markdown_tables((ROOT / "docs/published_results.md").read_text(encoding="utf-8"))
    rows = [row for row in tables if "AP50" in row]
    assert len(rows) == 22
    for row in rows:
        name, kind = row["weights"].strip("`"), row["of"]
        metric = {"boxes": "box AP", "masks": "mask AP"}[kind]
        assert re.search(rf"{metric} {float(row['AP']):.1f}[,; ]", zoo[name]), f"{name}, {kind}"
        assert row["AP"] not in zoo[name]
        assert row["AP50"] not in zoo[name]


def test_zoo_says_which_figures_are_of_timm(zoo):
    found = zoo["eva02_B_pt_in21k_ft_in1k_p14"]
    assert "448 px: top-1 88.28, top-5 98.53; IN-1K by timm 88.250, ReaL by timm 90.800" in found


def test_zoo_completes_names_that_a_heading_shortens(zoo):
    assert "top-1 85.78" in zoo["eva02_S_pt_in21k_ft_in1k_p14"]
    assert "mIoU 61.47" in zoo["eva_sem_seg_mask2former_ade_ss61p5_ms62p3"]


def test_zoo_has_each_evaluation_of_a_file(zoo):
    found = zoo["eva02_L_ade_seg_upernet_sz512"]
    assert "ADE20K, 512 px: aAcc 86.67, mIoU 59.77, mAcc 72.05" in found
    assert "ADE20K, 512 px, several scales and flips: aAcc 86.98, mIoU 60.42, mAcc 72.54" in found


def test_zoo_has_the_memory_of_the_recipe(zoo):
    assert "| 2.0 | 7.9 |" in zoo["eva02_B_coco_bsl"]


def test_every_train_key_has_a_meaning():
    rows = [line for line in reference_pages.train_keys() if line.startswith("| `train.")]
    assert any("train.amp.dtype" in row for row in rows)
    without = [row for row in rows if row.rstrip("| ").endswith("`")]
    assert without == []


def test_commands_and_their_options_are_listed():
    text = "\n".join(reference_pages.commands())
    for verb in find_verbs():
        assert f"\n### {verb}\n" in text
    assert "| `--score-threshold S` | lowest score of a detection, 0 to 1; an evaluation suggests" in text
