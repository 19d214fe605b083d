"""Overrides of recipes: accepted keys and values, and the messages about others."""

import copy
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_engine.config import load_config
from eva_engine.config.override_keys import apply_overrides

CONFIGS = Path(__file__).parents[3] / "projects" / "ViTDet" / "configs"
COCO = str(CONFIGS / "COCO" / "cascade_mask_rcnn_vitdet_eva_1536.py")
LVIS = str(CONFIGS / "LVIS" / "cascade_mask_rcnn_vitdet_eva_1536.py")


@cache
def recipe(config):
    return load_config(config)


def override_recipe(config, overrides):
    return apply_overrides(copy.deepcopy(recipe(config)), overrides)


@pytest.mark.parametrize(
    ("config", "override", "key", "value"),
    [
        # The published evaluation commands.
        (COCO, "train.init_checkpoint=/path/to/eva_coco_det.pth", "train.init_checkpoint", "/path/to/eva_coco_det.pth"),
        (COCO, "model.roi_heads.use_soft_nms=True", "model.roi_heads.use_soft_nms", True),
        (COCO, 'train.init_checkpoint="a(1).pth"', "train.init_checkpoint", "a(1).pth"),
        (COCO, 'model.roi_heads.method="linear"', "model.roi_heads.method", "linear"),
        (COCO, "model.roi_heads.iou_threshold=0.6", "model.roi_heads.iou_threshold", 0.6),
        (COCO, "model.roi_heads.override_score_thresh=0.0", "model.roi_heads.override_score_thresh", 0.0),
        (COCO, "model.roi_heads.maskness_thresh=0.5", "model.roi_heads.maskness_thresh", 0.5),
        (LVIS, "dataloader.evaluator.max_dets_per_image=1000", "dataloader.evaluator.max_dets_per_image", 1000),
        # A whole number where a number is wanted, null, lists, list items, groups below arguments.
        (COCO, "optimizer.lr=1", "optimizer.lr", 1),
        (COCO, "model.roi_heads.mask_head=null", "model.roi_heads.mask_head", None),
        (COCO, "model.backbone.net.window_block_indexes=[0,1]", "model.backbone.net.window_block_indexes", [0, 1]),
        (
            COCO,
            "model.roi_heads.box_predictors.1.test_score_thresh=0.1",
            "model.roi_heads.box_predictors.1.test_score_thresh",
            0.1,
        ),
        (COCO, "model.backbone.net.use_abs_pos=False", "model.backbone.net.use_abs_pos", False),
        (
            COCO,
            "optimizer.params.overrides.pos_embed.weight_decay=0.0",
            "optimizer.params.overrides.pos_embed.weight_decay",
            0.0,
        ),
        (COCO, "dataloader.train.mapper.on_error=skip", "dataloader.train.mapper.on_error", "skip"),
        (COCO, "dataloader.train.prefetch_factor=4", "dataloader.train.prefetch_factor", 4),
        (COCO, "dataloader.test.dataset.names=[a,b]", "dataloader.test.dataset.names", ["a", "b"]),
        (COCO, "train.ddp.static_graph=True", "train.ddp.static_graph", True),
        (COCO, "optimizer.fused=True", "optimizer.fused", True),
        (
            COCO,
            "dataloader.train.sampler._target_=detectron2.data.samplers.TrainingSampler",
            "dataloader.train.sampler._target_",
            "detectron2.data.samplers.TrainingSampler",
        ),
    ],
)
def test_key_of_the_recipe_or_keyword_of_its_target_is_accepted(config, override, key, value):
    assert OmegaConf.select(override_recipe(config, [override]), key) == value


def test_overrides_are_checked_in_their_order():
    sampler = "dataloader.train.sampler"
    cfg = override_recipe(COCO, [f"{sampler}._target_=detectron2.data.samplers.TrainingSampler", f"{sampler}.size=4"])
    assert cfg.dataloader.train.sampler.size == 4
    with pytest.raises(InputError, match=r"did you mean dataloader\.train\.sampler\.size"):
        override_recipe(COCO, [f"{sampler}._target_=detectron2.data.samplers.TrainingSampler", f"{sampler}.siz=4"])


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.max_itr=5", "train.max_itr is not a key of this config; did you mean train.max_iter?"),
        ("trian.max_iter=5", "did you mean train.max_iter?"),
        ("model.roi_heads.use_sof_nms=True", "did you mean model.roi_heads.use_soft_nms?"),
        ("model.roi_heads.masknes_thresh=0.5", "did you mean model.roi_heads.maskness_thresh?"),
        ("model.roihead.use_soft_nms=True", "did you mean model.roi_heads.use_soft_nms?"),
        ("use_soft_nms=True", "did you mean model.roi_heads.use_soft_nms?"),
        ("model.backbone.net.drop_path=0.1", "did you mean model.backbone.net.drop_path_rate?"),
        ("dataloader.train.num_worker=2", "did you mean dataloader.train.num_workers?"),
        ("model.roi_heads.box_predictors.3.test_score_thresh=0.1", "did you mean model.roi_heads.box_predictors."),
        ("optimizer.lr.base=1", "optimizer.lr is not a group, its value is 2.5e-05; set optimizer.lr itself"),
        ("train.max_iter=many", "train.max_iter takes a whole number, not 'many'"),
        ("train.max_iter=1e3", "train.max_iter takes a whole number, not 1000.0"),
        ("train.amp.enabled=1", "train.amp.enabled takes True or False, not 1"),
        ("optimizer.lr=True", "optimizer.lr takes a number, not True"),
        ("model.roi_heads.maskness_thresh=None", "takes a number, not 'None' (the empty value is written null)"),
        ("model.roi_heads.method=3", "takes a string, not 3"),
        ("model.roi_heads.mask_head=3", "takes a group"),
        ("model.backbone.net.window_block_indexes=3", "takes a list like [a,b], not 3"),
        ("train.max_iter", "the override train.max_iter cannot be parsed; write key=value"),
        ("train.init_checkpoint=a(1).pth", """cannot be parsed; quote the value: 'train.init_checkpoint="a(1).pth"'"""),
        ("train.max_iter=1,2", "must set one key to one value"),
        ("~train.max_iter", "must set one key to one value"),
        ("--resume", "put options with -- before the first key=value"),
    ],
)
def test_other_override_is_refused_with_the_most_similar_key_or_the_right_type(override, sentence):
    with pytest.raises(InputError) as error:
        override_recipe(COCO, [override])
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "no config file was given"),
        ("configs/none.py", "the config file configs/none.py does not exist"),
        ("weights.pth", "weights.pth is not a config file"),
    ],
)
def test_unusable_config_file_is_refused(path, sentence):
    with pytest.raises(InputError, match=sentence):
        load_config(path)
