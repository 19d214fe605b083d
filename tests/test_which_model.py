"""The page "which model for which card" has what `plan --summary` predicts; two rows that are planned in seconds."""

import pytest
from documented_pages import ROOT, TEXTS

from eva_engine.config import load_config
from eva_engine.memory.device_memory import reserve
from eva_engine.memory.summary import summarize

PAGE = "docs/howto/which_model.md"
# The larger detectors need minutes, most of them in proposal networks and heads, which run on the CPU.
RECIPES = (
    "projects/Classification/configs/eva02/eva02_S_pt_in21k_ft_in1k_p14.py",
    "projects/ViTDet/configs/COCO/mask_rcnn_vitdet_b_100ep.py",
)


@pytest.mark.parametrize("recipe", RECIPES)
def test_row_is_the_plan_of_its_recipe(recipe):
    shown = recipe.partition("/configs/")[2]
    (row,) = [line for line in TEXTS[PAGE].splitlines() if line.startswith(f"| `{shown}` |")]
    _, _, parameters, *memory = [cell.strip() for cell in row.strip("|").split("|")]

    summary = summarize(lambda more: load_config(str(ROOT / recipe), more), lambda _: None)

    assert parameters == f"{round(summary.num_parameters / 1e6):,} million"
    planned = [summary.full, summary.lora, summary.frozen, summary.inference]
    planned = [(peak + reserve("cuda")) / 1e9 for peak in planned]
    # Half of the page's last digit, and a little for the boxes that random weights propose.
    assert list(map(float, memory[:4])) == pytest.approx(planned, abs=0.07, rel=0)
