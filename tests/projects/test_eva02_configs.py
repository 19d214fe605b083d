"""EVA-02's detectors on the meta device: the entries and the optimizer groups of the published runs."""

import gzip
import json
import re
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

from eva_engine.config import load_config
from eva_engine.training.optimization import build_optimizer

CONFIGS = Path(__file__).parents[2] / "projects" / "ViTDet" / "configs"
MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"
RECIPES = {
    re.sub(r".*/", "", json.loads(gzip.decompress(path.read_bytes()))["config"]): path
    for path in sorted(MANIFESTS.glob("eva02_*.json.gz"))
    if "rope_tables" in json.loads(gzip.decompress(path.read_bytes()))
}
ROTARY_TABLE = re.compile(r"(^|\.)rope(_win|_glb)?\.freqs_(cos|sin)$")


def read_json(path):
    return json.loads(gzip.decompress(path.read_bytes()))


def load(name):
    (path,) = CONFIGS.glob(f"eva2_*/{name}")
    cfg = load_config(str(path))
    with torch.device("meta"):
        return cfg, instantiate(cfg.model)


@pytest.mark.parametrize("config", RECIPES)
def test_models_have_exactly_the_entries_of_the_published_files(config):
    manifest = read_json(RECIPES[config])
    _, model = load(config)
    found = [[name, list(v.shape), str(v.dtype).removeprefix("torch.")] for name, v in model.state_dict().items()]
    expected = [entry for entry in manifest["entries"] if not ROTARY_TABLE.search(entry[0])]
    assert len(found) == manifest["num_entries_without_rope"]
    assert found == expected
    assert all(parameter.requires_grad for parameter in model.parameters())
    drop_path = [getattr(block.drop_path, "drop_prob", 0.0) for block in model.backbone.net.blocks]
    assert drop_path == pytest.approx(manifest["drop_path_per_block"])


def test_there_is_a_recipe_for_every_manifest():
    assert len(RECIPES) == len(list(CONFIGS.glob("eva2_*/*.py"))) == 10


@pytest.mark.parametrize(
    ("config", "groups"),
    [
        ("eva2_coco_cascade_mask_rcnn_vitdet_b_4attn_1024_lrd0p7.py", "B_coco_1024"),
        ("eva2_coco_cascade_mask_rcnn_vitdet_l_8attn_win32_1536_lrd0p8.py", "L_coco_1536_win32"),
        ("eva2_o365_to_lvis_cascade_mask_rcnn_vitdet_l_8attn_1536_lrd0p8.py", "L_o365_to_lvis_1536"),
    ],
)
def test_optimizer_groups_are_those_of_the_published_run(config, groups):
    cfg, model = load(config)
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    found = []
    for group in build_optimizer(cfg, model).param_groups:
        found.append([group["lr"], group["weight_decay"], [name_of[id(parameter)] for parameter in group["params"]]])
    expected = read_json(MANIFESTS / f"optimizer_groups_{groups}.json.gz")
    expected = expected["groups"] if isinstance(expected, dict) else expected
    assert found == [[group["lr"], group["weight_decay"], group["names"]] for group in expected]


def test_the_published_options_of_the_moving_average():
    path = next(CONFIGS.glob("eva2_o365_to_coco/*.py"))
    cfg = load_config(
        str(path), ["train.model_ema.use_ema_weights_for_eval_only=True", "model.roi_heads.class_wise=True"]
    )
    assert (cfg.train.ema.enabled, cfg.train.ema.decay, cfg.train.ema.evaluate) == (True, 0.9999, True)
