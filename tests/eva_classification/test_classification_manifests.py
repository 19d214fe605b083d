"""The published files' own names, shapes and order, and those of the full-size models on the meta device."""

import gzip
import json
import re
from pathlib import Path

import pytest
import torch

from eva_backbone.errors import InputError
from eva_classification import create_classifier, create_masked_image_model
from eva_classification.mim import ClipTeacher
from eva_engine.checkpoint.matching import match_weights

MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"
GIANT, LARGE = "eva_giant_patch14", "eva_large_patch14"
MIM_ONLY = ["mask_token", "norm.weight", "norm.bias", "lm_head.weight", "lm_head.bias"]
FRESH = ["fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"]
ROTARY_TABLE = re.compile(r"(^|\.)rope\.freqs_(cos|sin)$")  # constants that the release saves and we compute
EVA02_FILES = []
for _size, _name in (("Ti", "tiny"), ("S", "small"), ("B", "base"), ("L", "large")):
    _model = f"eva02_{_name}_patch14"
    EVA02_FILES += [
        (f"eva02_{_size}_pt_in21k_p14", create_masked_image_model, {"name": _model, "teacher_dim": 1024}),
        (
            f"eva02_{_size}_pt_in21k_ft_in1k_p14",
            create_classifier,
            {"name": _model, "img_size": 336 if _size in ("Ti", "S") else 448},
        ),
    ]
    if _size in ("B", "L"):
        EVA02_FILES += [
            (
                f"eva02_{_size}_pt_in21k_p14to16",
                create_masked_image_model,
                {"name": _model, "teacher_dim": 1024, "patch_size": 16},
            ),
            (
                f"eva02_{_size}_pt_in21k_medft_in21k_p14",
                create_classifier,
                {"name": _model, "img_size": 448, "num_classes": 21841},
            ),
        ]


def manifest(name):
    return json.loads(gzip.decompress((MANIFESTS / f"{name}.json.gz").read_bytes()))


def without_memory(entries, dtype=torch.float16):
    return {name: torch.zeros((), dtype=dtype).expand(shape) for name, shape, *_ in entries}


def on_meta(build, *args, **options):
    with torch.device("meta"):
        return build(*args, device="meta", **options)


@pytest.mark.parametrize(
    ("name", "build", "arguments"),
    [
        ("eva_psz14", create_masked_image_model, {"name": GIANT}),
        ("eva_psz14to16", create_masked_image_model, {"name": GIANT, "patch_size": 16}),
        ("eva_21k_224px_psz14", create_classifier, {"name": GIANT, "num_classes": 21841}),
        ("eva_21k_1k_336px_psz14_ema", create_classifier, {"name": GIANT, "img_size": 336}),
        ("eva_21k_1k_560px_psz14_ema", create_classifier, {"name": GIANT, "img_size": 560}),
        ("extra_eva_clip_vis_enc_sz224_ftcls", create_classifier, {"name": GIANT}),
        ("extra_eva_clip_vis_enc_sz336_ftcls", create_classifier, {"name": GIANT, "img_size": 336}),
        ("extra_eva_l_336px_1k_ft", create_classifier, {"name": LARGE, "img_size": 336}),
        *EVA02_FILES,
    ],
)
def test_exactly_the_file(name, build, arguments):
    expected = manifest(name)
    state = on_meta(build, **arguments).state_dict()
    stored = [entry[:2] for entry in expected["entries"] if not ROTARY_TABLE.search(entry[0])]
    assert [[key, list(value.shape)] for key, value in state.items()] == stored
    assert sum(value.numel() for value in state.values()) == expected["total_params"]


def test_exactly_the_teacher():
    expected = manifest("extra_openai_clip_vit_l14_visual_teacher")
    teacher = ClipTeacher({name: torch.empty(shape, device="meta") for name, shape, _ in expected["entries"]})
    state = {name.removeprefix("visual."): list(value.shape) for name, value in teacher.state_dict().items()}
    assert state == {name: shape for name, shape, _ in expected["entries"]}
    assert teacher(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 256, 768)


@pytest.mark.parametrize("size", [196, 224, 336, 448, 560])
@pytest.mark.parametrize(
    ("name", "stored", "unused", "missing", "skipped"),
    [
        ("eva_psz14", 224, MIM_ONLY, FRESH, []),
        ("eva_21k_224px_psz14", 224, [], [], ["head.weight", "head.bias"]),
        ("eva_21k_1k_336px_psz14_ema", 336, [], [], []),
        ("eva_21k_1k_560px_psz14_ema", 560, [], [], []),
    ],
)
def test_giant_files_at_every_size(name, stored, unused, missing, skipped, size):
    model = on_meta(create_classifier, GIANT, num_classes=1000, img_size=size)
    report = match_weights(model, without_memory(manifest(name)["entries"]), Path("file.pt"))[1]
    assert [change.name for change in report.resized] == ([] if size == stored else ["pos_embed"])
    assert [report.unused, report.missing] == [unused, missing]
    assert [change.name for change in report.skipped] == skipped


def test_pretraining_weights_at_another_patch_size():
    model = on_meta(create_masked_image_model, GIANT, patch_size=16)
    report = match_weights(model, without_memory(manifest("eva_psz14")["entries"]), Path("file.pt"))[1]
    assert [change.name for change in report.resized] == ["pos_embed", "patch_embed.proj.weight"]
    assert [report.unused, report.missing, report.skipped] == [[], [], []]


def test_masked_autoencoder_into_large_classifier():
    model = on_meta(create_classifier, LARGE, num_classes=1000)
    report = match_weights(model, without_memory(manifest("extra_eva_l_psz14_mae_pretrain")["entries"]), Path("l.pt"))[
        1
    ]
    assert report.missing == FRESH
    assert all(name in ("mask_token", "norm.weight", "norm.bias") or "decoder" in name for name in report.unused)
    assert [report.resized, report.skipped] == [[], []]


@pytest.mark.parametrize("head", ["linear", "probe"])
def test_clip_image_tower_into_class_pooling(head):
    """What the linear probe and the fine-tuning of EVA-CLIP start from: a head of another width, a text tower."""
    model = on_meta(create_classifier, GIANT, num_classes=1000, pooling="class", head=head)
    report = match_weights(model, without_memory(manifest("eva_clip_psz14")["entries"]), Path("clip.pt"))[1]
    own = {name for name in model.state_dict() if name.startswith("head.")}
    assert own == set(report.missing) | {change.name for change in report.skipped}
    extra = {"visual.head.weight", "visual.head.bias"} if head == "probe" else set()
    assert {name for name in report.unused if not name.startswith("text.")} == extra
    assert report.resized == []


@pytest.mark.parametrize(("own", "other"), [(GIANT, LARGE), (LARGE, GIANT)])
def test_weights_of_another_width_are_refused(own, other):
    weights = on_meta(create_classifier, other, num_classes=1000).state_dict()
    entries = [(name, value.shape) for name, value in weights.items()]
    with pytest.raises(InputError, match=r"it holds a ViT of width \d+, depth \d+, patch 14, expected is a ViT"):
        match_weights(on_meta(create_classifier, own, num_classes=1000), without_memory(entries), Path("file.pt"))
