"""EVA-02's recipes of pre-training and classification: models, schedules, data and settings of the published runs."""

import gzip
import json
from pathlib import Path

import pytest
from detectron2.config import instantiate
from loaded_recipes import build_on_meta, load_recipe, read_recipe

from eva_engine.training.adaptation.freezing import freeze_parameters
from eva_engine.training.monitoring import check_best_metric
from eva_engine.training.optimization import build_optimizer

CONFIGS = Path(__file__).parents[2] / "projects" / "Classification" / "configs" / "eva02"
MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"
ALL = sorted(path.stem for path in CONFIGS.glob("*.py"))
BASE, LARGE_21K, LARGE = (f"eva02_{name}_medft_in21k_ft_in1k_p14" for name in ("B_pt_in21k", "L_pt_in21k", "L_pt_m38m"))
# Parameters; batch, epochs, epochs of warm-up, iterations per epoch; learning rate, where it ends, factor per layer;
# stochastic depth, label smoothing, and whether the average is evaluated
PRETRAINING = {
    "eva02_Ti_pt_in21k_p14": (5_699_968, 4000, 240, 1, 3549, 3e-3, 1e-5, 1.0, 0.0),
    "eva02_S_pt_in21k_p14": (22_015_744, 4000, 240, 1, 3549, 3e-3, 1e-5, 1.0, 0.0),
    "eva02_B_pt_in21k_p14": (86_546_944, 2048, 150, 1, 6932, 1.5e-3, 1e-5, 1.0, 0.0),
    "eva02_L_pt_in21k_p14": (304_319_424, 2048, 150, 1, 6932, 1.5e-3, 1e-5, 1.0, 0.1),
    "eva02_L_pt_m38m_p14": (304_319_424, 2048, 56, 1, 18554, 1.5e-3, 1e-5, 1.0, 0.1),
}
FINE_TUNING = {
    "eva02_Ti_pt_in21k_ft_in1k_p14": (5_756_584, 1024, 100, 5, 1251, 2e-4, 0, 0.9, 0.1, 0.1, False),
    "eva02_S_pt_in21k_ft_in1k_p14": (22_129_000, 1024, 100, 5, 1251, 1e-4, 0, 0.8, 0.1, 0.1, False),
    "eva02_B_pt_in21k_ft_in1k_p14": (87_117_544, 1024, 30, 3, 1251, 1e-4, 0, 0.7, 0.1, 0.1, False),
    "eva02_L_pt_in21k_ft_in1k_p14": (305_080_232, 1024, 30, 3, 1251, 5e-5, 0, 0.8, 0.15, 0.2, True),
    "eva02_L_pt_m38m_ft_in1k_p14": (305_080_232, 1024, 30, 3, 1251, 7e-5, 0, 0.8, 0.15, 0.2, True),
    "eva02_B_pt_in21k_medft_in21k_p14": (103_144_273, 2048, 40, 1, 6932, 3e-4, 0, 0.7, 0.1, 0.1, False),
    "eva02_L_pt_in21k_medft_in21k_p14": (326_442_257, 1024, 20, 1, 13864, 2e-4, 0, 0.75, 0.15, 0.1, False),
    "eva02_L_pt_m38m_medft_in21k_p14": (326_442_257, 2048, 30, 1, 6932, 3e-4, 0, 0.75, 0.15, 0.1, False),
    BASE: (87_117_544, 512, 15, 2, 2502, 5e-5, 0, 0.8, 0.15, 0.2, True),
    LARGE_21K: (305_080_232, 512, 20, 2, 2502, 2e-5, 0, 0.85, 0.15, 0.2, True),
    LARGE: (305_080_232, 512, 20, 2, 2502, 2e-5, 0, 0.85, 0.15, 0.2, True),
}


def recipe(name):
    return read_recipe(CONFIGS / f"{name}.py")


def load(name):
    return load_recipe(CONFIGS / f"{name}.py")


def test_every_published_row_has_a_recipe():
    sets = ("imagenet_v2", "imagenet_real", "imagenet_a", "imagenet_r", "imagenet_sketch", "objectnet")
    assert set(ALL) == {*PRETRAINING, *FINE_TUNING, *(f"evaluate_{name}_{size}" for name in sets for size in "BL")}


@pytest.mark.parametrize("name", [*PRETRAINING, *FINE_TUNING])
def test_published_settings(name):
    cfg = load(name)
    parameters, batch, epochs, warmup, iters, lr, end, decay, drop_path, *rest = {**PRETRAINING, **FINE_TUNING}[name]
    model = build_on_meta(cfg)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert cfg.dataloader.train.total_batch_size == batch
    assert cfg.train.max_iter == epochs * iters
    factor = instantiate(cfg.lr_multiplier)
    assert (factor.at(0), factor.at(warmup * iters)) == (0, 1)
    assert lr * factor.decay(1.0) == pytest.approx(end, abs=1e-12)
    check_best_metric(cfg)
    freeze_parameters(model, cfg.train.freeze)
    groups = build_optimizer(cfg, model).param_groups
    rates = [group["lr"] for group in groups]
    assert max(rates) == pytest.approx(lr)
    assert min(rates) == pytest.approx(lr * decay ** (len(model.blocks) + 1))
    rates_of_drop_path = [getattr(block.drop_path, "drop_prob", 0.0) for block in model.blocks]
    assert rates_of_drop_path[-1] == pytest.approx(drop_path)
    if rest:
        smoothing, averaged = rest
        assert (model.smoothing, cfg.train.ema.evaluate) == (smoothing, averaged)
        assert cfg.train.ema.enabled == name.endswith("ft_in1k_p14")
        assert cfg.train.freeze == ["patch_embed.*"]
        assert cfg.dataloader.train.mapper.transform.scale[0] == (0.08 if name.endswith("in1k_p14") else 0.2)
    else:
        assert model.slow_patch_embed
        assert (list(cfg.optimizer.betas), cfg.optimizer.eps, cfg.train.clip_grad_norm) == ([0.9, 0.98], 1e-6, 3.0)
        assert recipe(name).model.teacher.weights == "eva_clip_psz14.pt"


@pytest.mark.parametrize("name", [name for name in (*PRETRAINING, *FINE_TUNING) if "m38m" not in name])
def test_entries_are_those_of_the_published_file(name):
    # The last two classifiers differ from those without intermediate fine-tuning in their values only.
    manifest = name.replace("medft_in21k_ft_in1k", "ft_in1k")
    entries = json.loads(gzip.decompress((MANIFESTS / f"{manifest}.json.gz").read_bytes()))["entries"]
    found = {key: list(value.shape) for key, value in build_on_meta(load(name)).state_dict().items()}
    assert found == {entry[0]: list(entry[1]) for entry in entries if ".freqs_" not in entry[0]}


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith("evaluate_")])
def test_robustness(name):
    cfg = load(name)
    assert cfg.train.ema.evaluate
    size, transform = cfg.model.img_size, cfg.dataloader.test.mapper.transform
    assert (size, transform.size, transform.crop_pct, transform.interpolation) == (448, 448, 1.0, "bicubic")
    assert cfg.model.depth == (12 if name.endswith("B") else 24)
    if "imagenet_a" in name:
        assert cfg.dataloader.evaluator.subset == "imagenet_a"
    if "objectnet" in name:
        assert cfg.dataloader.evaluator.published_label_mapping.first_only
