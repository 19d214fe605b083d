"""The published files' own names and sizes into the full-size models, which are on the meta device."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate

from eva_backbone.errors import InputError
from eva_engine.checkpoint.matching import match_weights

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "projects" / "ViTDet" / "configs" / "common" / "models"
NET = "backbone.net."


def manifest(name):
    return json.loads(gzip.decompress((ROOT / "tests" / "data" / "manifests" / f"{name}.json.gz").read_bytes()))


def without_memory(entries):
    return {name: torch.zeros((), dtype=torch.float16).expand(*shape) for name, shape, *_ in entries}


def build(config):
    with torch.device("meta"):
        return instantiate(LazyConfig.load(str(MODELS / config)).model)


@pytest.fixture(scope="module")
def detector():
    return build("cascade_mask_rcnn_vitdet_eva.py")


@pytest.fixture(scope="module")
def base_detector():
    return build("cascade_mask_rcnn_vitdet.py")


def match(detector, entries):
    return match_weights(detector, without_memory(entries), Path("file.pth"))[1]


def test_pretraining(detector):
    expected = manifest("eva_psz14to16_to_detector")
    mapping = expected["mapping"]
    report = match(detector, [entry[:2] for entry in mapping] + expected["unused_in_detector"])
    assert report.used == [name for _, _, name in mapping]
    assert list(report.unused) == [name for name, _ in expected["unused_in_detector"]]
    assert {name for name in report.missing if name.startswith(NET)} == set(expected["detector_keys_not_in_checkpoint"])
    assert [report.resized, report.skipped] == [[], []]


def test_pretraining_of_patch_14(detector):
    mapping = manifest("eva_psz14to16_to_detector")["mapping"]
    other = {"pos_embed": [1, 257, 1408], "patch_embed.proj.weight": [1408, 3, 14, 14]}
    report = match(detector, [(name, other.get(name, shape)) for name, shape, _ in mapping])
    assert {change.name for change in report.resized} == {f"{NET}{name}" for name in other}
    assert not report.skipped


def test_objects365(detector):
    report = match(detector, manifest("eva_o365")["entries"])
    heads = {f"roi_heads.box_predictor.{stage}.cls_score.{leaf}" for stage in range(3) for leaf in ("weight", "bias")}
    assert {change.name for change in report.skipped} == heads
    assert all(name.startswith("roi_heads.mask_head.") for name in report.missing)
    assert len(report.missing) == 713 - 697
    assert [report.resized, report.unused] == [[], []]


def test_coco(detector):
    report = match(detector, manifest("eva_coco_1280")["entries"])
    assert len(report.used) == 713
    assert [report.resized, report.skipped, report.missing, report.unused] == [[], [], [], []]


def test_lvis_into_coco(detector):
    report = match(detector, manifest("eva_lvis_1280")["entries"])
    assert len(report.skipped) == 6 + 2  # class scores of three stages, mask predictor
    assert [name.rpartition(".")[2] for name in report.unused] == ["fed_loss_cls_weights"] * 3
    assert [report.resized, report.missing] == [[], []]


def test_masked_autoencoder_into_base_size(base_detector):
    """What the stock recipes start from: a bare ViT with one bias for q, k and v."""
    shapes = {name: value.shape for name, value in base_detector.backbone.net.state_dict().items()}
    entries = [(name, shape) for name, shape in shapes.items() if "rel_pos" not in name]
    report = match(base_detector, [*entries, ("cls_token", (1, 1, 768)), ("norm.weight", (768,))])
    assert report.used == [f"{NET}{name}" for name, _ in entries]
    assert report.unused == ["cls_token", "norm.weight"]


def test_base_size_weights_into_giant(detector, base_detector):
    entries = [(name, value.shape) for name, value in base_detector.state_dict().items()]
    with pytest.raises(InputError, match="a ViT of width 768, depth 12, patch 16, expected is a ViT of width 1408"):
        match(detector, entries)
