"""Names, shapes and order of the released file, loaded into full-size models on the meta device."""

import gzip
import json
from pathlib import Path

import pytest
import torch
from detectron2.config import LazyConfig, instantiate

from eva_backbone.errors import InputError
from eva_classification import create_classifier, create_masked_image_model
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
FILES = {
    "EVA01_CLIP_g_14_plus_psz14_s11B": "eva_clip_g14_plus",
    "EVA02_CLIP_B_psz16_s8B": "eva02_clip_b16",
    "EVA02_CLIP_L_psz14_s4B": "eva02_clip_l14",
    "EVA02_CLIP_L_336_psz14_s6B": "eva02_clip_l14_336",
    "EVA02_CLIP_E_psz14_s4B": "eva02_clip_e14",
    "EVA02_CLIP_E_psz14_plus_s9B": "eva02_clip_e14_plus",
}


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


@pytest.mark.parametrize(("file", "name"), FILES.items())
def test_later_releases(file, name):
    """Names, shapes and order are those of the file, but for its tables of rotary positions, which are ignored."""
    model, content = on_meta(build_model, name), manifest(file)
    entries = [entry[:2] for entry in content["entries"] if ".freqs_" not in entry[0]]
    assert [[name, list(value.shape)] for name, value in model.state_dict().items()] == entries
    assert len(entries) == content["n_parameters_tensors"]
    assert sum(parameter.numel() for parameter in model.parameters()) == content["total_params"]
    assert not list(model.buffers())
    report = match(model, file)
    assert [report.resized, report.missing, report.unused, report.skipped] == [[], [], [], []]
    num_tables = content["n_tensors"] - len(entries)
    assert len(report.notes) == (num_tables > 0)
    assert all(note.startswith(f"{num_tables} tables of rotary positions ignored") for note in report.notes)


def test_the_first_model_with_its_logit_scale_outside_of_the_text_tower():
    """As in `EVA01_CLIP_g_14_psz14_s11B.pt`, the file of a later release with the same weights."""
    names = {"text.logit_scale": "logit_scale"}
    entries = [(names.get(name, name), shape) for name, shape, _ in FILE["entries"]]
    report = match_weights(on_meta(build_model, "eva_clip_g14"), without_memory(entries), Path("file.pt"))[1]
    assert len(report.used) == 678
    assert [report.resized, report.missing, report.unused, report.skipped] == [[], [], [], []]


def test_initial_weights_at_336_pixels():
    """The published initial file at 336 pixels is that of 224 pixels with resized positions, as loading does."""
    report = match(on_meta(build_model, "eva02_clip_l14_336"), "EVA02_CLIP_L_psz14_s4B")
    assert [change.name for change in report.resized] == ["visual.pos_embed"]
    assert [report.missing, report.unused, report.skipped] == [[], [], []]


@pytest.mark.parametrize(
    ("file", "name", "patch_size"),
    [("eva02_B_pt_in21k_p14to16", "eva02_clip_b16", 16), ("eva02_L_pt_in21k_p14", "eva02_clip_l14", 14)],
)
def test_pretraining_of_eva02_into_image_tower(file, name, patch_size):
    """As in the published runs, the projection and the norms of the attended features start fresh."""
    model = on_meta(build_model, name)
    assert model.visual.patch_size == patch_size
    report = match(model, file)
    fresh = {"visual.head.weight", "visual.head.bias"}
    fresh |= {entry for entry in model.state_dict() if ".inner_attn_ln." in entry}
    assert {entry for entry in report.missing if entry.startswith("visual.")} == fresh
    assert set(report.unused) == {"mask_token", "lm_head.weight", "lm_head.bias"}
    assert [report.resized, report.skipped] == [[], []]


@pytest.mark.parametrize(
    ("file", "name", "message"),
    [
        ("EVA02_CLIP_B_psz16_s8B", "eva_clip_g14", "text tower of width 512, this model has one of width 768"),
        ("EVA02_CLIP_L_psz14_s4B", "eva_clip_g14", "a ViT of width 1024, depth 24, patch 14, expected is a ViT of"),
        ("eva_clip_psz14", "eva02_clip_l14", "a ViT of width 1408, depth 40, patch 14, expected is a ViT of"),
        ("eva_clip_psz14", "eva_clip_g14_plus", "text tower of width 768, this model has one of width 1024"),
        ("EVA02_CLIP_E_psz14_s4B", "eva02_clip_e14_plus", "text tower of width 1024, this model has one of width 1280"),
        ("EVA01_CLIP_g_14_plus_psz14_s11B", "eva02_clip_e14", "a ViT of width 1408, depth 40"),
    ],
)
def test_another_release_is_refused(file, name, message):
    with pytest.raises(InputError, match=message):
        match(on_meta(build_model, name), file)


@pytest.mark.parametrize("file", ["EVA02_CLIP_B_psz16_s8B", "EVA02_CLIP_L_psz14_s4B"])
def test_a_tower_with_inner_norms_does_not_start_a_model_without_them(file):
    """All other entries of the blocks fit, so the norms of the attended features would be dropped silently."""
    name = "eva02_base_patch14" if "_B_" in file else "eva02_large_patch14"
    for build in (create_classifier, create_masked_image_model):
        model = on_meta(build, name, device="meta", patch_size=16 if "_B_" in file else 14)
        with pytest.raises(InputError, match=r"its blocks have attn\.inner_attn_ln, without which their features"):
            match(model, file)
    classifier = on_meta(create_classifier, name, device="meta", attention_norm=True, patch_size=14)
    assert not [name for name in match(classifier, file).unused if name.startswith("visual.blocks.")]


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


@pytest.mark.parametrize(
    ("file", "heads", "features", "post_norm"),
    [
        ("eva_clip_psz14", 16, (256, 1024), False),
        ("EVA01_CLIP_g_14_plus_psz14_s11B", 16, (256, 1024), False),
        ("EVA02_CLIP_B_psz16_s8B", 12, (196, 512), False),
        ("EVA02_CLIP_L_336_psz14_s6B", 16, (256, 768), False),
        ("EVA02_CLIP_E_psz14_plus_s9B", 16, (256, 1024), True),
    ],
)
def test_teacher_of_the_published_size(file, heads, features, post_norm):
    weights = {name: torch.empty(shape, device="meta") for name, shape, _ in manifest(file)["entries"]}
    teacher = EvaClipTeacher(weights)
    shapes = {name: value.shape for name, value in teacher.visual.state_dict().items() if name != "pos_embed"}
    assert shapes == {name: value.shape for name, value in image_tower_weights(weights).items() if name != "pos_embed"}
    assert teacher(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, *features)
    block = teacher.visual.blocks[0]
    assert (block.attn.num_heads, block.post_norm) == (heads, post_norm)
    assert block.attn.rope == any(".freqs_" in name for name in weights)
