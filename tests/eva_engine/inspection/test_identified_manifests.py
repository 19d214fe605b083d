"""The published files' own names and shapes: their task, their recipe, and what else they are good for."""

import functools
import gzip
import json
import re
from pathlib import Path

import pytest
import torch

from eva_clip.open_clip_weights import to_open_clip
from eva_engine.checkpoint.file_kind import FileKind
from eva_engine.inspection import Identifier, WeightFileSummary
from eva_engine.inspection.format import describe

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def identified():
    """What a file of a manifest's names and shapes is found to be, under any name; each is asked for once."""
    identifier = Identifier()

    @functools.cache
    def identify(manifest, file_name, rename=dict):
        entries = read_manifest(manifest)["entries"]
        weights = {name: torch.zeros((), dtype=getattr(torch, dtype)).expand(shape) for name, shape, dtype in entries}
        weights = rename(weights)
        return identifier.identify(WeightFileSummary(Path(file_name), FileKind.TORCH, 1, {}, weights, None))

    return identify


def read_manifest(name):
    return json.loads(gzip.decompress((ROOT / f"tests/data/manifests/{name}.json.gz").read_bytes()))


def recipes(fits):
    return [fit.recipe.path.removeprefix("projects/") for fit in fits]


DETECTION, SEGMENTATION, VIDEO = "ViTDet/configs", "SemSeg/configs", "Video/configs"
IMAGES, CLIP = "Classification/configs", "CLIP/configs"
GIANT = "a ViT of width 1408, depth 40"


@pytest.mark.parametrize(
    ("manifest", "file_name", "words", "recipe"),
    [
        ("eva_psz14", "eva_psz14.pt", "masked image modelling", f"{IMAGES}/mim_pretrain_224.py"),
        ("eva_21k_224px_psz14", "eva_21k_224px_psz14.pt", "224 px .* 21841 classes", f"{IMAGES}/in21k_224.py"),
        ("eva_21k_1k_336px_psz14_ema", "mine.pt", "classifier, .* 336 px .* 1000 classes", f"{IMAGES}/in1k_336.py"),
        ("eva_21k_1k_560px_psz14_ema", "mine.pt", "classifier, .* 560 px .* 1000 classes", f"{IMAGES}/in1k_560.py"),
        ("extra_eva_clip_vis_enc_sz224_ftcls", "mine.pt", "classifier, .* 224 px", f"{CLIP}/in1k_224_finetune.py"),
        (
            "extra_eva_clip_vis_enc_sz336_ftcls",
            "eva_clip_vis_enc_sz336_ftcls_89p4.pt",
            "classifier, .* 336 px",
            f"{CLIP}/in1k_336_finetune.py",
        ),
        ("eva_clip_psz14", "eva_clip_psz14.pt", "EVA-CLIP, .* text tower of width 768", f"{CLIP}/zero_shot_in1k.py"),
        ("eva_video_k400", "mine.pth", "video classifier, .* 400 classes", f"{VIDEO}/kinetics400.py"),
        ("eva_video_k600", "mine.pth", "video classifier, .* 600 classes", f"{VIDEO}/kinetics600.py"),
        ("eva_video_k700", "mine.pth", "video classifier, .* 700 classes", f"{VIDEO}/kinetics700.py"),
        ("eva_video_k722", "mine.pth", "video classifier, .* 722 classes", f"{VIDEO}/kinetics722.py"),
        (
            "eva_coco_1280",
            "eva_coco_seg.pth",
            "object detector, .* relative positions for 1280 px, with masks, 80 classes",
            f"{DETECTION}/COCO/cascade_mask_rcnn_vitdet_eva_1536.py",
        ),
        ("eva_coco_1280", "mine.pth", "detector", f"{DETECTION}/COCO/cascade_mask_rcnn_vitdet_eva.py"),
        (
            "eva_lvis_1280",
            "eva_lvis.pth",
            "with masks, 1203 classes",
            f"{DETECTION}/LVIS/cascade_mask_rcnn_vitdet_eva_1536.py",
        ),
        (
            "eva_o365",
            "eva_o365.pth",
            "boxes only, 365 classes",
            f"{DETECTION}/Objects365/cascade_rcnn_vitdet_eva_1280.py",
        ),
        (
            "eva_sem_seg_mask2former_ade_ss61p5_ms62p3",
            "mine.pth",
            "segmentation .* 150 classes, 8 decoder layers, 200 queries",
            f"{SEGMENTATION}/ade20k_ss.py",
        ),
        (
            "eva_sem_seg_mask2former_ade_relpos_layerscale_9dec_ss61p5_ms62p3",
            "mine.pth",
            "joint relative positions, 150 classes, 9 decoder layers",
            f"{SEGMENTATION}/ade20k_9dec_ss.py",
        ),
        (
            "eva_sem_seg_mask2former_cocostuff_53p4",
            "mine.pth",
            "171 classes, 8 decoder layers",
            f"{SEGMENTATION}/coco_stuff164k.py",
        ),
        (
            "eva_sem_seg_mask2former_cocostuff_relpos_layerscale_9dec_53p2",
            "mine.pth",
            "171 classes, 9 decoder layers",
            f"{SEGMENTATION}/coco_stuff164k_9dec.py",
        ),
    ],
)
def test_published_model(identified, manifest, file_name, words, recipe):
    found = identified(manifest, file_name)
    assert recipes(found.same)[0] == recipe
    assert found.best.is_exact
    lines = list(describe(found))
    model = next(line for line in lines if line.startswith("  model: "))
    assert GIANT in model
    assert re.search(words, model), model
    evaluation = (
        f"    evaluate: python -m tools evaluate --config-file projects/{recipe} train.init_checkpoint={file_name}"
    )
    assert (evaluation in lines) == found.best.recipe.has_evaluation
    prediction = [line for line in lines if line.startswith("    predict: ")]
    assert [f"--config-file projects/{recipe} --weights {file_name} --input " in line for line in prediction] == (
        [] if "mim" in recipe else [True]
    )
    assert any("--labels" in line for line in prediction) == ("zero_shot" in recipe)
    assert any("--input clip.mp4" in line for line in prediction) == (VIDEO in recipe)


CLIP_G, CLIP_E = "width 1408, depth 40, patch 14, .*224 px", "width 1792, depth 64, patch 14, .*224 px"
CLIP_B, CLIP_L = "width 768, depth 12, patch 16, .*224 px", "width 1024, depth 24, patch 14, .*"
CLIP_FILES = [
    ("EVA01_CLIP_g_14_plus_psz14_s11B", CLIP_G, "width 1024, depth 24", "eva_clip_g14_plus"),
    ("EVA02_CLIP_B_psz16_s8B", CLIP_B, "width 512, depth 12", "eva02_clip_b16"),
    ("EVA02_CLIP_L_psz14_s4B", f"{CLIP_L}224 px", "width 768, depth 12", "eva02_clip_l14"),
    ("EVA02_CLIP_L_336_psz14_s6B", f"{CLIP_L}336 px", "width 768, depth 12", "eva02_clip_l14_336"),
    ("EVA02_CLIP_E_psz14_s4B", CLIP_E, "width 1024, depth 24", "eva02_clip_e14"),
    ("EVA02_CLIP_E_psz14_plus_s9B", CLIP_E, "width 1280, depth 32", "eva02_clip_e14_plus"),
]


@pytest.mark.parametrize(("manifest", "image", "text", "recipe"), CLIP_FILES)
@pytest.mark.parametrize("file_name", ["mine.pt", "{}.pt"])
def test_later_clip(identified, manifest, image, text, recipe, file_name):
    """The recipe is found by names and shapes; the name of the file does not matter."""
    file_name = file_name.format(manifest)
    found = identified(manifest, file_name)
    expected = [f"{CLIP}/{recipe}_zero_shot_in1k.py", f"{CLIP}/{recipe}_retrieval_coco.py", f"{CLIP}/{recipe}.py"]
    assert recipes(found.same)[:3] == expected
    assert found.best.report.missing == found.best.report.unused == found.best.report.resized == []
    lines = list(describe(found))
    model = next(line for line in lines if line.startswith("  model: "))
    assert re.search(f"EVA-CLIP, images and texts, a ViT of {image}.*text tower of {text}", model), model
    (prediction,) = [line for line in lines if line.startswith("    predict: ")]
    assert f"--config-file projects/{expected[0]} --weights {file_name} --input photo.jpg --labels" in prediction
    others = {f"{CLIP}/{name}_zero_shot_in1k.py" for *_, name in CLIP_FILES} - {expected[0]}
    # Positions are resized, so that the files of L/14 fit the model of the other image size, too.
    assert others & set(recipes(found.same)) == ({o for o in others if "_l14" in o} if "_l14" in recipe else set())


def test_a_later_clip_under_the_names_of_open_clip(identified):
    found = identified("EVA02_CLIP_B_psz16_s8B", "open_clip_model.safetensors", without_tables_in_open_clip)
    assert found.best.is_exact
    assert recipes(found.same)[0] == f"{CLIP}/eva02_clip_b16_zero_shot_in1k.py"


def without_tables_in_open_clip(weights):
    return to_open_clip({name: value for name, value in weights.items() if ".freqs_" not in name})


def test_towers_with_inner_norms_start_no_model_without_them(identified):
    """Neither classifiers, nor pre-training, nor detectors of the same size."""
    found = identified("EVA02_CLIP_L_psz14_s4B", "EVA02_CLIP_L_psz14_s4B.pt")
    assert all(path.startswith(f"{CLIP}/") for path in recipes([*found.same, *found.starts]))


@pytest.mark.parametrize(
    ("manifest", "file_name", "expected"),
    [
        ("eva_psz14", "eva_psz14.pt", [f"{IMAGES}/in21k_224.py", f"{VIDEO}/kinetics722.py"]),
        ("eva_21k_224px_psz14", "eva_21k_224px_psz14.pt", [f"{IMAGES}/in1k_336.py", f"{IMAGES}/in1k_560.py"]),
        ("eva_clip_psz14", "eva_clip_psz14.pt", [f"{CLIP}/in1k_224_finetune.py", f"{CLIP}/in1k_336_finetune.py"]),
        (
            "eva_o365",
            "eva_o365.pth",
            [f"{DETECTION}/{data}/cascade_mask_rcnn_vitdet_eva.py" for data in ("COCO", "LVIS")],
        ),
        ("eva_video_k722", "eva_video_k722.pth", [f"{VIDEO}/kinetics{n}.py" for n in (400, 600, 700)]),
    ],
)
def test_where_training_starts_from_it(identified, manifest, file_name, expected):
    assert recipes(identified(manifest, file_name).starts)[: len(expected)] == expected


def test_other_classes_start_the_recipe_that_others_are_made_from(identified):
    def of_37_classes(weights):
        return {name: value[:37] if name.startswith("head.") else value for name, value in weights.items()}

    found = identified("eva_21k_1k_336px_psz14_ema", "mine.pt", of_37_classes)
    assert not found.same
    assert recipes(found.starts)[0] == f"{IMAGES}/in1k_336.py"


def test_pretraining_of_another_patch_size(identified):
    found = identified("eva_psz14to16", "eva_psz14to16.pt")
    assert not found.same
    assert recipes(found.starts)[:4] == [
        *(f"{DETECTION}/Objects365/cascade_rcnn_vitdet_eva_{size}.py" for size in (1024, 1280)),
        f"{SEGMENTATION}/coco_stuff164k.py",
        f"{SEGMENTATION}/coco_stuff164k_9dec.py",
    ]
    lines = list(describe(found))
    assert any("masked image modelling" in line and "patch 16" in line and "224 px" in line for line in lines)
    assert not any(line.startswith("    evaluate:") for line in lines)


def test_target_of_pretraining(identified):
    def in_whole_file(weights):
        return {f"visual.{name}": value for name, value in weights.items()}

    found = identified("extra_openai_clip_vit_l14_visual_teacher", "ViT-L-14.pt", in_whole_file)
    assert found.best is None
    assert [use.purpose for use in found.other_uses] == ["teacher of pre-training"]
    assert found.other_uses[0].command.endswith("configs/mim_pretrain_224.py model.teacher.weights=ViT-L-14.pt")


def test_clip_under_the_names_of_open_clip(identified):
    found = identified("eva_clip_psz14", "open_clip_model.safetensors", to_open_clip)
    assert found.best.is_exact
    assert recipes(found.same)[0] == f"{CLIP}/zero_shot_in1k.py"
    assert any("EVA-CLIP" in line and "positions for 224 px" in line for line in describe(found))


def test_text_tower_of_a_clip(identified):
    def with_text(weights):
        text = {"transformer.resblocks.0.attn.in_proj_weight": (3, 2), "ln_final.weight": (2,)}
        return weights | {name: torch.zeros(shape) for name, shape in text.items()}

    found = identified("extra_openai_clip_vit_l14_visual_teacher", "clip.pt", with_text)
    assert found.other_uses[-1].command == "python -m tools join-clip-towers IMAGE_FILE clip.pt OUTPUT"


def test_no_recipe_has_the_model(identified):
    found = identified("extra_eva_l_336px_1k_ft", "eva_l_336px.pt")
    assert not found.is_identified
    lines = "\n".join(describe(found))
    assert (
        "model: a ViT of width 1024, depth 24, patch 14, positions for 336 px (24 x 24 patches), 1000 classes" in lines
    )
    assert "no recipe has this model; nearest is projects/" in lines
    assert "not in the model: blocks.{0-23}.attn.qkv.weight" in lines  # EVA-02's ViT has three layers in its place


@pytest.mark.parametrize(
    ("manifest", "words", "recipe"),
    [
        (
            "eva02_B_ade_seg_upernet_sz512",
            "width 768, depth 12, .* 512 px .* 150 classes, a head of width 768",
            "upernet_eva02_base_12_512_slide_60k",
        ),
        (
            "eva02_L_ade_seg_upernet_sz512",
            "width 1024, depth 24, .* 512 px .* a head of width 1024",
            "upernet_eva02_large_24_512_slide_80k",
        ),
        (
            "eva02_L_ade_seg_upernet_sz640",
            "width 1024, depth 24, .* 640 px .* a head of width 1536",
            "upernetpro_eva02_large_24_640_slide_80k",
        ),
    ],
)
def test_upernet_of_eva02(identified, manifest, words, recipe):
    found = identified(manifest, "mine.pth")
    assert recipes(found.same)[0] == f"{SEGMENTATION}/eva02/upernet/{recipe}.py"
    assert found.best.is_exact
    model = next(line for line in describe(found) if line.startswith("  model: "))
    assert re.search(f"semantic segmentation with UperNet, .* {words}", model), model


def test_pretraining_of_eva02_starts_its_segmentation(identified):
    found = identified("eva02_B_pt_in21k_p14to16", "eva02_B_pt_in21k_p14to16.pt")
    assert f"{SEGMENTATION}/eva02/upernet/upernet_eva02_base_12_512_slide_60k.py" in recipes(found.starts)
