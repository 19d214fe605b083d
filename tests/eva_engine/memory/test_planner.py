"""Predicted peaks of training steps, and what is advised from them."""

import pytest
from small_recipe import CONFIG, OVERRIDES, small_recipe

from benchmarks.plan_memory import LIMIT, compare
from eva_engine.config import load_config
from eva_engine.memory import MemoryPlanner, advise, rank_table


@pytest.fixture(scope="module")
def planner():
    return MemoryPlanner(num_objects=8)


def test_predictions_are_near_the_measured_peaks():
    names = ("classification", "masked images", "CLIP, LAMB", "video, 2 parts", "segmentation")
    for row in compare("512 px, blocks recomputed", *names):
        assert abs(row.error) < LIMIT, row


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ([], ["dataloader.train.total_batch_size=1"]),
        (["model.backbone.net.use_act_checkpoint=False"], ["train.activation_checkpointing=torch"]),
        (["train.ema.enabled=True"], []),
        ([], ['train.freeze=["backbone.net.*"]']),
    ],
)
def test_what_takes_less(planner, more, less):
    assert planner.plan(small_recipe(*more)).peak > planner.plan(small_recipe(*less)).peak


def test_only_the_activations_grow_with_the_image(planner):
    small, large = (planner.plan(small_recipe(f"model.backbone.square_pad={side}")) for side in (256, 512))
    assert large.persistent == small.persistent
    assert large.peak - large.persistent.total > 2 * (small.peak - small.persistent.total)


def load(more):
    return load_config(CONFIG, [*OVERRIDES, "dataloader.train.total_batch_size=4", *more])


def test_advice_is_a_recipe_with_the_predicted_peak(planner):
    limit = planner.plan(load(["train.accumulation_steps=2"])).peak
    advice = advise(load, planner, limit)
    assert advice.fits
    # Four parts would fit too; two are the mildest change that does.
    assert [step.overrides for step in advice.steps] == [("train.accumulation_steps=2",)]
    assert advice.steps[0].plan.peak == limit
    for other in advice.alternatives:
        assert planner.plan(load(other.overrides)).peak == other.plan.peak <= limit


def test_every_change_is_accepted_and_lowers_the_peak(planner):
    advice = advise(load, planner, limit=1)
    assert not advice.fits
    peaks = [planner.plan(load([])).peak, *(step.plan.peak for step in advice.steps)]
    assert peaks == sorted(peaks, reverse=True)
    load(advice.overrides)


def test_table_has_a_row_per_number_of_ranks(planner):
    rows = list(rank_table(load, planner, (1, 2, 4)))
    assert [row.num_ranks for row in rows] == [1, 2, 4]
    for row in rows[1:]:
        ddp, fsdp, offload = (p.persistent.total for p in row.plans)
        assert ddp > fsdp > offload
    fsdp = [row.plans[1].persistent.total for row in rows]
    assert fsdp == sorted(fsdp, reverse=True)
