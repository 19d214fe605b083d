"""Plans of every published recipe, with small models in place of the published ones."""

import pytest
from task_recipes import PUBLISHED, task_recipe

from eva_backbone.errors import InputError
from eva_engine.memory import MemoryPlanner, advise, overrides_for_side
from eva_engine.memory.synthetic_batch import synthetic_batch


@pytest.mark.parametrize("path", PUBLISHED)
def test_published_recipes_can_be_planned(path):
    cfg = task_recipe(path, *PUBLISHED[path], "dataloader.train.total_batch_size=8", "train.accumulation_steps=1")
    lines = []
    prediction = MemoryPlanner(num_ranks=2, num_objects=4, report=lines.append).plan(cfg)
    assert prediction.num_samples == 4
    assert prediction.peak > prediction.persistent.total > 0
    assert (prediction.persistent.extra_modules > 0) == ("mim" in path)
    assert lines == [f"4 {prediction.sample} at a time, {'bfloat16' if cfg.train.amp.enabled else 'float32'}"]


def advice_for(path, *overrides):
    def load(more):
        return task_recipe(path, *PUBLISHED[path], "dataloader.train.total_batch_size=4", *overrides, *more)

    advice = advise(load, MemoryPlanner(num_objects=4), limit=1)
    load(advice.overrides)
    return [(step.cost, step.overrides) for step in advice.steps]


def test_parts_come_first_where_they_change_nothing():
    costs = [cost for cost, _ in advice_for("Classification/configs/in1k_336.py")]
    assert costs[0] == "same result, more time per iteration"
    assert "images of 196 pixels" in costs


def test_parts_of_a_contrastive_batch_are_another_problem():
    steps = dict(
        advice_for(
            "CLIP/configs/eva_clip_g14.py", "train.activation_checkpointing=", "dataloader.train.total_batch_size=512"
        )
    )
    names = list(steps)
    assert names[0] == "same result, about a third more time"
    assert steps[names[0]] == ("train.activation_checkpointing=torch", "model.text.checkpoint_blocks=True")
    assert not any(cost.startswith("same result, more time") for cost in names)


def test_single_images_in_a_head_that_pools_them_to_one_pixel():
    steps = dict(advice_for("SemSeg/configs/eva02/upernet/upernet_eva02_base_12_512_slide_60k.py"))
    effect = "batch normalisation per micro-batch, more time per iteration"
    assert steps[effect] == ("train.accumulation_steps=4",)


def test_pre_training_is_not_advised_to_freeze_or_to_shrink():
    overrides = [o for _, step in advice_for("Classification/configs/mim_pretrain_224.py") for o in step]
    assert "train.accumulation_steps=4" in overrides
    assert not any(o.startswith(("train.freeze", "train.lora", "model.img_size")) for o in overrides)


@pytest.mark.parametrize(
    ("path", "side"),
    [
        ("Classification/configs/in1k_336.py", 196),
        ("CLIP/configs/eva_clip_g14.py", 140),
        ("Video/configs/kinetics400.py", 112),
        ("SemSeg/configs/ade20k_ss.py", 512),
        ("SemSeg/configs/demo/mask2former_eva_tiny_microscope.py", 64),
    ],
)
def test_another_side(path, side):
    overrides = overrides_for_side(task_recipe(path), side)
    changed = task_recipe(path, *overrides)
    assert synthetic_batch(changed).side == side
    if "SemSeg" in path:
        windows = changed.model.inference.windows
        assert max(windows.stride) < max(windows.size) == side


@pytest.mark.parametrize(
    ("path", "side", "sentence"),
    [
        ("Classification/configs/in1k_336.py", 200, "a side of 200 pixels is not a multiple of 14"),
        ("Classification/configs/mim_pretrain_224.py", 112, "this recipe trains on 224 pixels only"),
        ("CLIP/configs/demo/eva_clip_tiny_digits.py", 16, "this recipe trains on 32 pixels only"),
    ],
)
def test_a_side_that_does_not_fit(path, side, sentence):
    with pytest.raises(InputError, match=sentence):
        overrides_for_side(task_recipe(path), side)
