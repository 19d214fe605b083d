"""Published files of another EVA in a recipe: refused in one sentence, by their names and shapes."""

import gzip
import json
from functools import cache
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.checkpoint.matching import match_weights
from eva_engine.config import load_config

ROOT = Path(__file__).parents[2]
EVA = "ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py"
EVA02 = "ViTDet/configs/eva2_mim_to_coco/eva2_coco_cascade_mask_rcnn_vitdet_l_4attn_1024_lrd0p8.py"
EVA_CLASSIFIER = "Classification/configs/in1k_336.py"
EVA02_CLASSIFIER = "Classification/configs/eva02/eva02_L_pt_in21k_ft_in1k_p14.py"


@cache
def model_of(recipe: str) -> nn.Module:
    with torch.device("meta"):
        return instantiate(load_config(str(ROOT / "projects" / recipe)).model)


@pytest.mark.parametrize(
    ("recipe", "file", "reason"),
    [
        (EVA, "eva02_L_coco_1024", "it holds a ViT of width 1024"),
        (EVA, "eva02_L_pt_in21k_p14", "it holds a ViT of width 1024"),
        (EVA02, "eva_coco_1280", "it holds a ViT of width 1408"),
        (EVA02, "eva_psz14to16", "it holds a ViT of width 1408"),
        (EVA02, "eva02_B_coco_1024", "it holds a ViT of width 768"),
        (EVA02, "EVA02_CLIP_L_psz14_s4B", "its blocks have attn.inner_attn_ln"),
        (EVA_CLASSIFIER, "eva02_L_pt_in21k_ft_in1k_p14", "it holds a ViT of width 1024"),
        (EVA02_CLASSIFIER, "eva_21k_1k_336px_psz14_ema", "it holds a ViT of width 1408"),
        # as wide and as deep, but with other layers
        (EVA02_CLASSIFIER, "extra_eva_l_336px_1k_ft", "expected is such as blocks.0.attn.q_proj.weight"),
        (EVA02_CLASSIFIER, "EVA02_CLIP_L_psz14_s4B", "its blocks have attn.inner_attn_ln"),
        (EVA02_CLASSIFIER, "eva02_B_pt_in21k_p14", "it holds a ViT of width 768"),
    ],
)
def test_refused(recipe, file, reason):
    manifest = json.loads(gzip.decompress((ROOT / f"tests/data/manifests/{file}.json.gz").read_bytes()))
    weights = {name: torch.zeros(()).expand(shape) for name, shape, *_ in manifest["entries"]}
    with pytest.raises(InputError) as caught:
        match_weights(model_of(recipe), weights, Path(f"{file}.pt"))
    assert str(caught.value).startswith(f"{file}.pt belongs to another model: ")
    assert reason in str(caught.value)
