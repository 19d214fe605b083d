"""The recipes of EVA-02-CLIP and EVA-CLIP g/14+: published settings, and what evaluates their files."""

from functools import cache
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from PIL import Image

from eva_clip.evaluation.retrieval_evaluator import RetrievalEvaluator
from eva_clip.evaluation.zero_shot_evaluator import ZeroShotEvaluator
from eva_clip.lamb import Lamb
from eva_clip.models import MODELS
from eva_engine.config import load_config
from eva_engine.training.optimization import build_optimizer

CONFIGS = Path(__file__).parents[2] / "projects" / "CLIP" / "configs"
# GPUs and pairs per GPU, iterations, learning rates and layer decay of image and text tower, patch dropout, precision.
RUNS = {
    "eva02_clip_b16": (64, 2048, 62_400, (2e-4, 2e-5), (0.75, 0.75), 0.0, "float16"),
    "eva02_clip_l14": (128, 1024, 31_200, (4e-4, 4e-5), (0.85, 0.75), 0.0, "float16"),
    "eva02_clip_l14_336": (128, 480, 32_800, (4e-4, 4e-5), (0.75, 0.65), 0.0, "float16"),
    "eva02_clip_e14": (144, 800, 35_200, (4e-4, 4e-5), (0.9, 0.75), 0.5, "float16"),
    "eva02_clip_e14_plus": (144, 1000, 28_000, (4e-4, 4e-5), (0.9, 0.75), 0.5, "bfloat16"),
    "eva_clip_g14_plus": (112, 1024, 35_200, (4e-4, 4e-5), (0.85, 0.75), 0.5, "float16"),
}
FILES = {
    "eva02_clip_b16": "EVA02_CLIP_B_psz16_s8B.pt",
    "eva02_clip_l14": "EVA02_CLIP_L_psz14_s4B.pt",
    "eva02_clip_l14_336": "EVA02_CLIP_L_336_psz14_s6B.pt",
    "eva02_clip_e14": "EVA02_CLIP_E_psz14_s4B.pt",
    "eva02_clip_e14_plus": "EVA02_CLIP_E_psz14_plus_s9B.pt",
    "eva_clip_g14_plus": "EVA01_CLIP_g_14_plus_psz14_s11B.pt",
}


@cache
def recipe(name):
    return load_config(str(CONFIGS / f"{name}.py"))


@pytest.mark.parametrize("name", RUNS)
def test_published_run(name):
    num_gpus, per_gpu, num_iters, (visual_lr, text_lr), (visual_rate, text_rate), dropout, dtype = RUNS[name]
    cfg = recipe(name)
    with torch.device("meta"):
        model = instantiate(cfg.model)
    assert all(block.post_norm == ("_e14" in name) for block in model.visual.blocks)
    assert model.visual.patch_dropout == dropout
    assert model.max_logit_scale == 100
    assert not any(getattr(block.drop_path, "drop_prob", 0) for block in model.visual.blocks)
    assert cfg.dataloader.train.total_batch_size == num_gpus * per_gpu
    optimizer = build_optimizer(cfg, model)
    assert type(optimizer) is Lamb
    assert (optimizer.defaults["min_coeff"], optimizer.defaults["max_coeff"]) == (0.01, 10)
    name_of = {id(parameter): entry for entry, parameter in model.named_parameters()}
    rates = {}
    for group in optimizer.param_groups:
        rates |= {name_of[id(parameter)]: (group["lr"], group["weight_decay"]) for parameter in group["params"]}
    depths = len(model.visual.blocks), len(model.text.transformer.resblocks)
    for entry, expected in (
        ("visual.head.weight", (visual_lr, 0.05)),
        ("visual.patch_embed.proj.weight", (visual_lr * visual_rate ** (depths[0] + 1), 0.05)),
        ("visual.blocks.1.norm1.weight", (visual_lr * visual_rate ** (depths[0] - 1), 0.0)),
        ("text.text_projection", (text_lr, 0.05)),
        ("text.token_embedding.weight", (text_lr * text_rate ** (depths[1] + 1), 0.05)),
        ("logit_scale", (5e-4, 0.0)),
    ):
        assert rates[entry] == pytest.approx(expected), entry
    lr = instantiate(cfg.lr_multiplier)
    assert cfg.train.max_iter == lr.max_iter == num_iters
    assert [lr.at(i) for i in (0, 1, 1999, 2000)] == pytest.approx([1 / 2000, 2 / 2000, 1, 1])
    assert (cfg.train.clip_grad_norm, cfg.train.amp.dtype) == (5, dtype)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("evaluation", ["zero_shot_in1k", "retrieval_coco"])
def test_evaluation_of_the_file(name, evaluation):
    cfg = recipe(f"{name}_{evaluation}")
    assert cfg.published.evaluate == [FILES[name]]
    assert cfg.model == recipe(name).model
    assert cfg.model.name == name
    test = cfg.dataloader.test
    side = MODELS[name]["visual"]["img_size"]
    assert instantiate(test.mapper.transform)(Image.new("RGB", (400, 500))).shape == (3, side, side)
    assert test.mapper.apply_exif_orientation is False
    assert test.get("templates", "imagenet_80") == "imagenet_80"
    assert instantiate(test.tokenizer).context_length == 77
    evaluator = ZeroShotEvaluator if evaluation == "zero_shot_in1k" else RetrievalEvaluator
    assert cfg.dataloader.evaluator._target_ is evaluator
