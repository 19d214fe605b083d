"""Names and shapes of the published files compared with the full-size models on the meta device."""

import gzip
import json
import re
from pathlib import Path

import pytest
import torch

from eva_backbone.errors import InputError
from eva_engine.checkpoint.matching import match_weights
from eva_engine.training.optimization import layer_decay_groups
from eva_semseg.models import create_segmentation_model
from eva_semseg.parameter_groups import published_grouping
from eva_semseg.state_dict_adapter import from_published, published_name, to_published

MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"
PLAIN, REL_POS = "eva_giant_mask2former", "eva_giant_mask2former_rel_pos"
COCO, ADE = "cocostuff_53p4", "ade_ss61p5_ms62p3"
COCO_REL_POS, ADE_REL_POS = "cocostuff_relpos_layerscale_9dec_53p2", "ade_relpos_layerscale_9dec_ss61p5_ms62p3"
FILES = [(COCO, PLAIN, 171), (ADE, PLAIN, 150), (COCO_REL_POS, REL_POS, 171), (ADE_REL_POS, REL_POS, 150)]
UPERNET_FILES = [
    ("eva02_B_ade_seg_upernet_sz512", "eva02_base_upernet", "eva02_B_pt_in21k_p14to16"),
    ("eva02_L_ade_seg_upernet_sz512", "eva02_large_upernet", "eva02_L_pt_in21k_p14to16"),
    ("eva02_L_ade_seg_upernet_sz640", "eva02_large_upernet_wide", "eva02_L_pt_in21k_p14to16"),
]
ROTARY_TABLE = re.compile(r"(.*\.)?rope\.freqs_(cos|sin)")
DTYPES = {"float32": torch.float32, "int64": torch.int64}


def manifest(name):
    return json.loads(gzip.decompress((MANIFESTS / f"{name}.json.gz").read_bytes()))


def published_file(name):
    return file_of(manifest(f"eva_sem_seg_mask2former_{name}"))


def file_of(content):
    entries = content["entries"]
    return {name: torch.zeros((), dtype=DTYPES[dtype]).expand(shape) for name, shape, dtype in entries}


@pytest.fixture(scope="module")
def models():
    with torch.device("meta"):
        return {(name, classes): create_segmentation_model(name, num_classes=classes) for _, name, classes in FILES}


def describe(weights):
    return {name: (tuple(value.shape), value.dtype) for name, value in weights.items()}


@pytest.mark.parametrize(("file", "name", "classes"), FILES)
def test_weights_are_exactly_those_of_the_file(models, file, name, classes):
    model = models[name, classes]
    assert describe(to_published(model.state_dict())) == describe(published_file(file))
    totals = manifest(f"eva_sem_seg_mask2former_{file}")["totals"]
    assert sum(parameter.numel() for parameter in model.parameters()) == totals["param_numel"]


@pytest.mark.parametrize(("file", "name", "classes"), FILES)
def test_head_has_the_order_of_the_file(models, file, name, classes):
    published = [
        entry for entry in to_published(models[name, classes].state_dict()) if entry.startswith("decode_head.")
    ]
    assert published == [entry for entry in published_file(file) if entry.startswith("decode_head.")]


@pytest.mark.parametrize(("file", "name", "classes"), FILES)
def test_renaming_is_reversible(models, file, name, classes):
    weights = published_file(file)
    own = from_published(weights)
    assert list(from_published(own)) == list(own)
    back = to_published(own)
    assert describe(back) == describe(weights)
    assert all(back[name] is value for name, value in weights.items() if not name.endswith("position_index"))
    state = models[name, classes].state_dict()
    assert describe(from_published(to_published(state))) == describe(state)


@pytest.mark.parametrize(("file", "name", "classes"), FILES)
def test_every_entry_is_used(models, file, name, classes):
    report = match_weights(models[name, classes], published_file(file), Path("file.pth"))[1]
    assert [report.missing, report.unused, report.skipped, report.resized] == [[], [], [], []]


def test_another_data_set_keeps_all_but_the_classifier(models):
    report = match_weights(models[PLAIN, 150], published_file(COCO), Path("file.pth"))[1]
    assert [change.name for change in report.skipped] == ["decode_head.cls_embed.weight", "decode_head.cls_embed.bias"]
    assert [report.missing, report.unused, report.resized] == [[], [], []]


@pytest.mark.parametrize("name", [PLAIN, REL_POS])
def test_pretraining_into_the_backbone(models, name):
    entries = manifest("eva_psz14to16")["entries"]
    weights = {name: torch.zeros(()).expand(shape) for name, shape, *_ in entries}
    report = match_weights(models[name, 171], weights, Path("file.pt"))[1]
    assert [change.name for change in report.resized] == ["backbone.pos_embed"]
    assert {entry.removeprefix("backbone.") for entry in report.unused} == {
        "mask_token",
        "norm.weight",
        "norm.bias",
        "lm_head.weight",
        "lm_head.bias",
    }
    vit = [entry for entry in report.missing if entry.startswith("backbone.blocks.")]
    assert {entry.split(".", 3)[3] for entry in vit} == (
        {"gamma_1", "gamma_2", "attn.relative_position_bias_table"} if name == REL_POS else set()
    )
    assert report.skipped == []


def test_backbone_of_another_size_is_refused():
    tiny = create_segmentation_model("eva_tiny_mask2former", num_classes=171)
    with pytest.raises(InputError, match="belongs to another model"):
        match_weights(tiny, published_file(COCO), Path("file.pth"))


@pytest.mark.parametrize(("file", "classes"), [(COCO, 171), (ADE, 150)])
def test_published_parameter_groups(models, file, classes):
    published = manifest(f"eva_sem_seg_mask2former_{file}.lr_groups")
    model = models[PLAIN, classes]
    groups = layer_decay_groups(
        model, published["base_lr"], published["weight_decay"], published["rate"], published_grouping()
    )
    names = {id(parameter): published_name(name) for name, parameter in model.named_parameters()}
    found = [(g["lr"], g["weight_decay"], sorted(names[id(p)] for p in g["params"])) for g in groups]
    expected = [(g["lr"], g["weight_decay"], sorted(g["params"])) for g in published["groups"]]
    assert sorted(found) == sorted(expected)


def test_index_of_an_oblong_grid_cannot_be_exported():
    table = {"backbone.blocks.0.attn.relative_position_bias_table": torch.zeros(7 * 11 + 3, 4)}
    with pytest.raises(InputError, match="do not fit a square grid"):
        to_published(table)


@pytest.fixture(scope="module")
def upernets():
    with torch.device("meta"):
        return {name: create_segmentation_model(name, num_classes=150) for _, name, _ in UPERNET_FILES}


@pytest.mark.parametrize(("file", "name", "pretrained"), UPERNET_FILES)
def test_upernet_has_exactly_the_entries_of_the_file_in_its_order(upernets, file, name, pretrained):
    del pretrained
    content = manifest(file)
    model = upernets[name]
    weights = file_of(content)
    expected = [(entry, value) for entry, value in describe(weights).items() if not ROTARY_TABLE.fullmatch(entry)]
    assert list(describe(model.state_dict()).items()) == expected
    assert sum(parameter.numel() for parameter in model.parameters()) == content["total_params"]
    report = match_weights(model, weights, Path("file.pth"))[1]
    assert [report.missing, report.unused, report.skipped, report.resized] == [[], [], [], []]
    num_tables = len(weights) - len(expected)
    assert num_tables == 2 * (model.backbone.depth + 1)
    assert report.notes == [
        f"{num_tables} tables of rotary positions ignored, which are computed from the size of the image"
    ]


@pytest.mark.parametrize(("file", "name", "pretrained"), UPERNET_FILES)
def test_pretraining_into_upernet(upernets, file, name, pretrained):
    del file
    weights = {entry: torch.zeros(()).expand(shape) for entry, shape, _ in manifest(pretrained)["entries"]}
    report = match_weights(upernets[name], weights, Path("file.pt"))[1]
    assert [change.name for change in report.resized] == ["backbone.pos_embed"]
    assert report.skipped == []
    unused = {entry.removeprefix("backbone.") for entry in report.unused}
    assert unused == {"mask_token", "norm.weight", "norm.bias", "lm_head.weight", "lm_head.bias"}
    new_parts = {entry.split(".")[0 if "head" in entry else 1] for entry in report.missing}
    assert new_parts == {"fpn1", "fpn2", "decode_head", "auxiliary_head"}


def test_another_data_set_keeps_all_of_upernet_but_the_classifiers():
    with torch.device("meta"):
        model = create_segmentation_model("eva02_base_upernet", num_classes=7)
    report = match_weights(model, file_of(manifest("eva02_B_ade_seg_upernet_sz512")), Path("file.pth"))[1]
    heads = ("decode_head", "auxiliary_head")
    assert [change.name for change in report.skipped] == [
        f"{head}.conv_seg.{kind}" for head in heads for kind in ("weight", "bias")
    ]
    assert [report.missing, report.unused, report.resized] == [[], [], []]


def test_published_weights_in_the_model_with_the_other_head(models, upernets):
    large = file_of(manifest("eva02_L_ade_seg_upernet_sz512"))
    for model, weights, held, expected in (
        (upernets["eva02_large_upernet"], published_file(ADE), "width 1408, depth 40", "width 1024, depth 24"),
        (models[PLAIN, 150], large, "width 1024, depth 24", "width 1408, depth 40"),
    ):
        with pytest.raises(
            InputError, match=f"belongs to another model: it holds a ViT of {held}.* is a ViT of {expected}"
        ):
            match_weights(model, weights, Path("file.pth"))
