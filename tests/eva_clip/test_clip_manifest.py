"""Names, shapes and order of the released file, loaded into full-size models on the meta device."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate

from eva_classification import create_masked_image_model
from eva_clip import build_model
from eva_clip.image_tower import image_tower_weights
from eva_clip.teacher import EvaClipTeacher
from eva_engine.checkpoint.matching import match_weights

ROOT = Path(__file__).parents[2]
DETECTOR = ROOT / "projects/ViTDet/configs/common/models/cascade_mask_rcnn_vitdet_eva.py"


def manifest(name):
    return json.loads(gzip.decompress((ROOT / f"tests/data/manifests/{name}.json.gz").read_bytes()))


def without_memory(entries):
    return {name: torch.zeros((), dtype=torch.float16).expand(shape) for name, shape, *_ in entries}


def on_meta(build, *args, **options):
    with torch.device("meta"):
        return build(*args, **options)


FILE = manifest("eva_clip_psz14")


def match(model, name="eva_clip_psz14"):
    return match_weights(model, without_memory(manifest(name)["entries"]), Path("file.pt"))[1]


def test_exactly_the_file():
    model = on_meta(build_model, "eva_clip_g14")
    assert [[name, list(value.shape)] for name, value in model.state_dict().items()] == [
        entry[:2] for entry in FILE["entries"]
    ]
    assert len(model.state_dict()) == FILE["num_entries"] == 678
    assert sum(parameter.numel() for parameter in model.parameters()) == FILE["num_parameters"]
    assert not list(model.buffers())


@pytest.mark.parametrize(("size", "resized"), [(224, []), (336, ["visual.pos_embed"])])
def test_file_at_every_size(size, resized):
    report = match(on_meta(build_model, "eva_clip_g14", visual={"img_size": size}))
    assert [change.name for change in report.resized] == resized
    assert [report.missing, report.unused, report.skipped] == [[], [], []]


def test_image_tower_into_detector():
    model = on_meta(lambda: instantiate(LazyConfig.load(str(DETECTOR)).model))
    report = match(model)
    found = {*report.used, *(change.name for change in report.resized)}
    vit = {name for name in model.state_dict() if name.startswith("backbone.net.")}
    assert {name for name in vit - found if "rel_pos" not in name} == set()
    assert {change.name.removeprefix("backbone.net.") for change in report.resized} == {
        "pos_embed",
        "patch_embed.proj.weight",
    }
    extra = {f"visual.{name}" for name in ("cls_token", "norm.weight", "norm.bias", "head.weight", "head.bias")}
    assert {name for name in report.unused if not name.startswith("text.")} == extra


def test_image_tower_into_pretraining():
    report = match(on_meta(create_masked_image_model, "eva_giant_patch14", device="meta"))
    assert set(report.missing) == {"mask_token", "lm_head.weight", "lm_head.bias"}
    assert {name for name in report.unused if not name.startswith("text.")} == {
        "visual.head.weight",
        "visual.head.bias",
    }


def test_pretraining_into_image_tower():
    report = match(on_meta(build_model, "eva_clip_g14"), "eva_psz14")
    assert {name for name in report.missing if not name.startswith("text.")} == {
        "visual.head.weight",
        "visual.head.bias",
    }
    assert set(report.unused) == {"mask_token", "lm_head.weight", "lm_head.bias"}
    assert [report.resized, report.skipped] == [[], []]


def test_teacher_of_the_published_size():
    weights = {name: torch.empty(shape, device="meta") for name, shape, _ in FILE["entries"]}
    teacher = EvaClipTeacher(weights)
    shapes = {name: value.shape for name, value in teacher.visual.state_dict().items()}
    assert shapes == {name: value.shape for name, value in image_tower_weights(weights).items()}
    assert teacher(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 256, 1024)
    assert teacher.visual.blocks[0].attn.num_heads == 16
