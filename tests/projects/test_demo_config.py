"""The recipe of the demo: the project's own classes, only smaller."""

from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from detectron2.data import DatasetCatalog

from detectron2_ext.modeling import CascadeROIHeads, FastRCNNOutputLayers, GeneralizedRCNN, SimpleFeaturePyramid, ViT
from eva_demos.detection.fluo_hela import HELDOUT, TRAIN
from eva_engine.config import load_config

CONFIG = Path(__file__).parents[2] / "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py"


@pytest.fixture(scope="module")
def cfg():
    return load_config(str(CONFIG))


def test_parts_are_those_of_the_large_detector(cfg):
    with torch.device("meta"):
        model = instantiate(cfg.model)
    assert type(model) is GeneralizedRCNN
    assert type(model.backbone) is SimpleFeaturePyramid
    assert type(model.backbone.net) is ViT
    assert type(model.roi_heads) is CascadeROIHeads
    assert [type(predictor) for predictor in model.roi_heads.box_predictor] == [FastRCNNOutputLayers] * 3
    assert model.roi_heads.mask_on
    assert 2e6 < sum(p.numel() for p in model.parameters()) < 5e6
    assert all(p.requires_grad for p in model.parameters())


def test_backbone_has_the_options_of_eva(cfg):
    with torch.device("meta"):
        names = dict(instantiate(cfg.model.backbone.net).named_parameters())
    assert {"blocks.0.attn.q_bias", "blocks.0.attn.v_bias", "blocks.0.attn.rel_pos_h", "pos_embed"} <= names.keys()


def test_loading_registers_both_splits_and_cuts_nothing(cfg, tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    assert load_config(str(CONFIG)).dataloader.train.dataset.names == cfg.dataloader.train.dataset.names == TRAIN
    assert cfg.dataloader.test.dataset.names == HELDOUT
    assert DatasetCatalog[TRAIN].root == tmp_path / "fluo_hela"
    assert not list(tmp_path.iterdir())


def test_schedule_warms_up_and_ends_low_whatever_the_length(cfg):
    schedule = instantiate(cfg.lr_multiplier)
    assert schedule(0.0) == pytest.approx(0.01)
    assert schedule(0.08) > 0.95
    assert schedule(1.0) == pytest.approx(0.01)
