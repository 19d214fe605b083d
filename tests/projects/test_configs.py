"""The detection recipes: models, optimizer groups, schedules and settings of the published runs."""

import copy
import gzip
import json
from functools import cache
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.modeling import ViT
from omegaconf import OmegaConf

from eva_engine.config import load_config
from eva_engine.training.optimization import build_optimizer

CONFIGS = Path(__file__).parents[2] / "projects" / "ViTDet" / "configs"
MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"

MANIFEST_OF = {
    "COCO/cascade_mask_rcnn_vitdet_eva.py": "eva_coco_1280",
    "COCO/cascade_mask_rcnn_vitdet_eva_1536.py": "eva_coco_1280",
    "COCO/cascade_mask_rcnn_vitdet_eva_1536_lvis_annotation.py": "eva_coco_1280",
    "LVIS/cascade_mask_rcnn_vitdet_eva.py": "eva_lvis_1280",
    "LVIS/cascade_mask_rcnn_vitdet_eva_1536.py": "eva_lvis_1280",
    "Objects365/cascade_rcnn_vitdet_eva_1024.py": "eva_o365",
    "Objects365/cascade_rcnn_vitdet_eva_1280.py": "eva_o365",
}
STOCK = ["COCO/mask_rcnn_vitdet_b_100ep.py", "COCO/cascade_mask_rcnn_vitdet_b_100ep.py"]


@cache
def recipe(config):
    return load_config(str(CONFIGS / config))


def load(config):
    return copy.deepcopy(recipe(config))


def build_on_meta(cfg):
    with torch.device("meta"):
        return instantiate(cfg.model)


def read_manifest(name):
    with gzip.open(MANIFESTS / f"{name}.json.gz") as file:
        return json.load(file)


def entries(model):
    return [[name, list(v.shape), str(v.dtype).removeprefix("torch.")] for name, v in model.state_dict().items()]


@pytest.mark.parametrize("config", MANIFEST_OF)
def test_model_has_exactly_the_entries_of_the_published_checkpoint(config):
    manifest = read_manifest(MANIFEST_OF[config])
    model = build_on_meta(load(config))
    assert entries(model) == manifest["entries"]
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == manifest["frozen"]
    assert sum(p.numel() for p in model.parameters()) == manifest["counts"]["TOTAL_parameters"]
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == manifest["counts"]["TOTAL_trainable"]


def test_parameter_totals_of_the_published_models():
    totals = {name: read_manifest(name)["counts"]["TOTAL_parameters"] for name in set(MANIFEST_OF.values())}
    assert totals == {"eva_coco_1280": 1_073_745_214, "eva_lvis_1280": 1_077_487_050, "eva_o365": 1_071_977_285}


@pytest.mark.parametrize(
    ("config", "groups"),
    [
        ("COCO/cascade_mask_rcnn_vitdet_eva.py", "optimizer_groups_coco"),
        ("LVIS/cascade_mask_rcnn_vitdet_eva.py", "optimizer_groups_lvis"),
    ],
)
def test_optimizer_groups_are_those_of_the_published_run(config, groups):
    cfg = load(config)
    model = build_on_meta(cfg)
    optimizer = build_optimizer(cfg, model)
    name_of = {id(p): name for name, p in model.named_parameters()}
    found = [
        {
            "lr": group["lr"],
            "weight_decay": group["weight_decay"],
            "betas": list(group["betas"]),
            "eps": group["eps"],
            "num_tensors": len(group["params"]),
            "num_elements": sum(p.numel() for p in group["params"]),
            "names": [name_of[id(p)] for p in group["params"]],
        }
        for group in optimizer.param_groups
    ]
    assert found == read_manifest(groups)
    assert len(found) == 42


def test_stock_groups_decay_neither_norms_nor_positions():
    cfg = load(STOCK[1])
    model = build_on_meta(cfg)
    decay = {
        name: group["weight_decay"]
        for group in build_optimizer(cfg, model).param_groups
        for name, p in model.named_parameters()
        if any(p is q for q in group["params"])
    }
    assert decay["backbone.net.pos_embed"] == decay["backbone.net.blocks.3.norm1.weight"] == 0
    assert decay["backbone.net.blocks.3.attn.qkv.bias"] == 0.1


# Learning-rate factors by iteration.
SCHEDULES = {
    "COCO/cascade_mask_rcnn_vitdet_eva.py": (
        45000,
        {0: 0.001, 250: 0.5005, 499: 0.998002, 500: 1, 39999: 1, 40000: 0.1, 44998: 0.1, 44999: 0.01},
    ),
    "LVIS/cascade_mask_rcnn_vitdet_eva.py": (
        75001,
        {0: 0.001, 1: 0.004996, 249: 0.996004, 250: 1, 69999: 1, 70000: 0.1, 74999: 0.1, 75000: 0.01},
    ),
    "Objects365/cascade_rcnn_vitdet_eva_1024.py": (350057, {0: 0.001, 7500: 0.5005, 15000: 1, 350055: 1, 350056: 0.1}),
    "Objects365/cascade_rcnn_vitdet_eva_1280.py": (350057, {0: 0.001, 1750: 0.5005, 3500: 1, 350055: 1, 350056: 0.1}),
    "COCO/cascade_mask_rcnn_vitdet_b_100ep.py": (184375, {0: 0.001, 250: 1, 163888: 1, 163889: 0.1, 177546: 0.01}),
}


@pytest.mark.parametrize("config", SCHEDULES)
def test_learning_rate_schedule(config):
    cfg = load(config)
    max_iter, factors = SCHEDULES[config]
    scheduler = instantiate(cfg.lr_multiplier)
    assert cfg.train.max_iter == max_iter
    assert {i: scheduler(i / max_iter) for i in factors} == pytest.approx(factors, rel=1e-6)


EVA, EVA_1536 = "cascade_mask_rcnn_vitdet_eva.py", "cascade_mask_rcnn_vitdet_eva_1536.py"
O365 = "Objects365/cascade_rcnn_vitdet_eva"
PREDICTOR = "model.roi_heads.box_predictors.2"
SETTINGS = [
    (f"COCO/{EVA}", "optimizer.lr", 2.5e-5),
    (f"COCO/{EVA}", "dataloader.train.total_batch_size", 64),
    (f"COCO/{EVA}", "dataloader.train.mapper.augmentations.2.crop_size", [1280, 1280]),
    (f"COCO/{EVA}", "dataloader.train.mapper.augmentations.2.pad", False),
    (f"COCO/{EVA}", "dataloader.train.mapper.augmentations.1.target_width", 1280),
    (f"COCO/{EVA}", "dataloader.test.mapper.augmentations.0.max_size", 1280),
    (f"COCO/{EVA}", "model.backbone.net.interp_type", "vitdet"),
    (f"COCO/{EVA}", "model.backbone.net.drop_path_rate", 0.6),
    (f"COCO/{EVA}", "model.backbone.square_pad", 1280),
    (f"COCO/{EVA}", "train.amp.enabled", True),
    (f"COCO/{EVA}", "train.ddp.fp16_compression", True),
    (f"COCO/{EVA_1536}", "model.backbone.net.img_size", 1280),
    (f"COCO/{EVA_1536}", "model.backbone.net.interp_type", "beit"),
    (f"COCO/{EVA_1536}", "model.backbone.square_pad", 1536),
    (f"COCO/{EVA_1536}", "dataloader.test.mapper.augmentations.0.short_edge_length", 1536),
    (f"COCO/{EVA_1536}", "dataloader.test.dataset.names", "coco_2017_val"),
    (f"COCO/{EVA_1536}", "dataloader.evaluator.dataset_name", "coco_2017_val"),
    ("COCO/cascade_mask_rcnn_vitdet_eva_1536_lvis_annotation.py", "dataloader.evaluator.max_dets_per_image", 300),
    (
        "COCO/cascade_mask_rcnn_vitdet_eva_1536_lvis_annotation.py",
        "dataloader.evaluator.dataset_name",
        "lvis_v1_val_cocofied",
    ),
    (f"LVIS/{EVA}", "optimizer.lr", 2e-4),
    (f"LVIS/{EVA}", f"{PREDICTOR}.test_score_thresh", 0.02),
    (f"LVIS/{EVA}", f"{PREDICTOR}.test_topk_per_image", 300),
    (f"LVIS/{EVA}", f"{PREDICTOR}.use_fed_loss", True),
    (f"LVIS/{EVA}", "dataloader.train.sampler.repeat_factors.repeat_thresh", 0.001),
    (f"LVIS/{EVA_1536}", f"{PREDICTOR}.test_score_thresh", 0.001),
    (f"LVIS/{EVA_1536}", f"{PREDICTOR}.test_topk_per_image", 1000),
    (f"LVIS/{EVA_1536}", "dataloader.evaluator.dataset_name", "lvis_v1_val"),
    (
        "Objects365/cascade_rcnn_vitdet_eva_1280.py",
        "dataloader.train.dataset.names",
        ["objects365_train", "objects365_val"],
    ),
    (f"{O365}_1280.py", "dataloader.train.total_batch_size", 128),
    (f"{O365}_1280.py", "dataloader.train.mapper.use_instance_mask", False),
    (f"{O365}_1024.py", "dataloader.train.mapper.augmentations.2.crop_size", [1024, 1024]),
    (f"{O365}_1024.py", "model.backbone.square_pad", 1024),
]


@pytest.mark.parametrize(("config", "key", "value"), SETTINGS)
def test_published_setting(config, key, value):
    assert OmegaConf.select(load(config), key) == value


@pytest.mark.parametrize("config", [*MANIFEST_OF, *STOCK])
def test_recipe_survives_being_saved(config, tmp_path):
    cfg = load(config)
    file = str(tmp_path / "config.yaml")
    LazyConfig.save(cfg, file)
    assert not (tmp_path / "config.yaml.pkl").exists()
    again = load_config(file)
    assert set(again) == set(cfg)
    assert set(cfg) - {"published"} == {"dataloader", "lr_multiplier", "model", "optimizer", "train"}
    assert entries(build_on_meta(again)) == entries(build_on_meta(cfg))
    assert len(build_optimizer(again, build_on_meta(again)).param_groups) > 10


def test_stock_recipe_builds_detectron2s_vit_b():
    stock = ViT(drop_path_rate=0.1, window_size=14, window_block_indexes=[0, 1, 3, 4, 6, 7, 9, 10], use_rel_pos=True)
    assert {n: v.shape for n, v in build_on_meta(load(STOCK[1])).backbone.net.state_dict().items()} == {
        n: v.shape for n, v in stock.state_dict().items()
    }
