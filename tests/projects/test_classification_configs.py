"""The classification recipes: models, optimizer groups, schedules, data and settings of the published runs."""

import gzip
import json
from pathlib import Path

import pytest
from detectron2.config import instantiate
from loaded_recipes import build_on_meta, load_recipe, read_recipe
from omegaconf import OmegaConf
from timm.data import Mixup

from eva_classification.evaluation import LabelMapping
from eva_engine.config import load_config
from eva_engine.data import dataset_root
from eva_engine.training.adaptation.freezing import freeze_parameters
from eva_engine.training.monitoring import check_best_metric
from eva_engine.training.optimization import build_optimizer

CONFIGS = Path(__file__).parents[2] / "projects" / "Classification" / "configs"
MANIFESTS = Path(__file__).parents[1] / "data" / "manifests"
PARAMETERS = {
    "mim_pretrain_224": 1_012_229_632,
    "in21k_224": 1_041_920_081,
    "in1k_336": 1_013_005_672,
    "in1k_560": 1_014_447_464,
}
MANIFEST_OF = {
    "mim_pretrain_224": "eva_psz14",
    "in21k_224": "eva_21k_224px_psz14",
    "in1k_336": "eva_21k_1k_336px_psz14_ema",
    "in1k_560": "eva_21k_1k_560px_psz14_ema",
}
ALL = sorted(path.stem for path in CONFIGS.glob("*.py"))


def recipe(name):
    return read_recipe(CONFIGS / f"{name}.py")


def load(name):
    return load_recipe(CONFIGS / f"{name}.py")


def test_there_is_a_recipe_for_every_published_row():
    sets = ["v2", "real", "a", "r", "sketch"]
    assert {
        *PARAMETERS,
        "linear_probe_224",
        "linear_probe_336",
        "evaluate_objectnet",
        "evaluate_objectnet_published",
    } | {f"evaluate_imagenet_{name}" for name in sets} == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_every_recipe_builds(name):
    cfg = load(name)
    model = build_on_meta(cfg)
    check_best_metric(cfg)
    freeze_parameters(model, cfg.train.freeze)
    build_optimizer(cfg, model)
    for transform in (cfg.dataloader.train.mapper.transform, cfg.dataloader.test.mapper.transform):
        assert transform.size == cfg.model.img_size
        instantiate(transform)
    instantiate(cfg.dataloader.train.collate)
    assert cfg.dataloader.train.dataset.root.startswith(dataset_root())


@pytest.mark.parametrize("name", PARAMETERS)
def test_number_of_parameters(name):
    assert sum(p.numel() for p in build_on_meta(load(name)).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", MANIFEST_OF)
def test_entries_are_those_of_the_published_file(name):
    manifest = json.loads(gzip.decompress((MANIFESTS / f"{MANIFEST_OF[name]}.json.gz").read_bytes()))
    expected = {entry[0]: list(entry[1]) for entry in manifest["entries"]}
    assert {key: list(value.shape) for key, value in build_on_meta(load(name)).state_dict().items()} == expected


# Epochs, epochs of warm-up, iterations per epoch, learning rate, where it ends, of the lowest layer over the highest.
SCHEDULES = {
    "mim_pretrain_224": (150, 2, 7242, 1e-3, 1e-5, 1.0),
    "in21k_224": (60, 15, 3466, 1e-4, 1e-6, 0.85**41),
    "in1k_336": (10, 2, 2502, 3e-5, 0.0, 0.95**41),
    "in1k_560": (15, 2, 2502, 3e-5, 0.0, 0.95**41),
    "linear_probe_224": (90, 10, 80, 1.0, 0.0, 1.0),
    "linear_probe_336": (90, 10, 80, 0.6, 0.0, 1.0),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_and_learning_rates(name):
    cfg = load(name)
    epochs, warmup, iters, lr, end, lowest = SCHEDULES[name]
    assert cfg.train.max_iter == epochs * iters
    assert cfg.train.eval_period == cfg.train.checkpointer.period == iters
    factor = instantiate(cfg.lr_multiplier)
    assert factor.at(0) == 0
    assert factor.at(warmup * iters - 1) == factor.at(warmup * iters) == 1
    assert lr * factor.decay(1.0) == pytest.approx(end, abs=1e-12)
    assert end < lr * factor.at(epochs * iters - 1) < end + 1e-3 * lr
    model = build_on_meta(cfg)
    rates = [group["lr"] for group in build_optimizer(cfg, model).param_groups]
    assert max(rates) == pytest.approx(lr)
    assert min(rates) / max(rates) == pytest.approx(lowest)


@pytest.mark.parametrize("name", ["mim_pretrain_224", "in21k_224", "in1k_336"])
def test_vectors_tokens_and_positions_are_not_decayed(name):
    cfg = load(name)
    model = build_on_meta(cfg)
    names = {id(p): key for key, p in model.named_parameters()}
    decayed = {
        names[id(p)]
        for group in build_optimizer(cfg, model).param_groups
        for p in group["params"]
        if group["weight_decay"] == 0.05
    }
    expected = {k for k, p in model.named_parameters() if p.ndim > 1 and k not in ("cls_token", "pos_embed")}
    assert decayed == expected
    assert ("mask_token" in decayed) == (name == "mim_pretrain_224")


SETTINGS = [
    ("mim_pretrain_224", "dataloader.train.total_batch_size", 4096),
    ("mim_pretrain_224", "optimizer.betas", [0.9, 0.98]),
    ("mim_pretrain_224", "optimizer.eps", 1e-6),
    ("mim_pretrain_224", "optimizer.weight_decay", 0.05),
    ("mim_pretrain_224", "train.clip_grad_norm", 3.0),
    ("mim_pretrain_224", "train.freeze", []),
    ("mim_pretrain_224", "train.ema.enabled", False),
    ("mim_pretrain_224", "train.activation_checkpointing", ""),
    ("mim_pretrain_224", "model.drop_path_rate", 0.1),
    ("mim_pretrain_224", "model.masking.num_masked", 105),
    ("mim_pretrain_224", "dataloader.train.mapper.transform.scale", [0.2, 1.0]),
    ("mim_pretrain_224", "dataloader.train.mapper.transform.auto_augment", None),
    ("mim_pretrain_224", "dataloader.train.mapper.on_error", "skip"),
    ("in21k_224", "dataloader.train.total_batch_size", 4096),
    ("in21k_224", "optimizer.betas", [0.9, 0.98]),
    ("in21k_224", "optimizer.eps", 1e-6),
    ("in21k_224", "model.drop_path_rate", 0.4),
    ("in21k_224", "model.smoothing", 0.0),
    ("in21k_224", "train.ema.enabled", False),
    ("in21k_224", "dataloader.evaluator", None),
    ("in21k_224", "dataloader.train.mapper.transform.scale", [0.5, 1.0]),
    ("in21k_224", "dataloader.train.mapper.transform.auto_augment", "rand-m9-mstd0.5-inc1"),
    ("in1k_336", "dataloader.train.total_batch_size", 512),
    ("in1k_336", "optimizer.betas", [0.9, 0.999]),
    ("in1k_336", "optimizer.eps", 1e-8),
    ("in1k_336", "optimizer.weight_decay", 0.05),
    ("in1k_336", "optimizer.params.decay_rate", 0.95),
    ("in1k_336", "train.clip_grad_norm", 0.0),
    ("in1k_336", "train.freeze", ["patch_embed.*"]),
    ("in1k_336", "train.ema.decay", 0.9999),
    ("in1k_336", "train.ema.evaluate", True),
    ("in1k_336", "train.amp.dtype", "float16"),
    ("in1k_336", "train.activation_checkpointing", "torch"),
    ("in1k_336", "model.smoothing", 0.3),
    ("in1k_336", "model.drop_path_rate", 0.4),
    ("in1k_336", "model.pooling", "mean"),
    ("in1k_336", "dataloader.train.collate.mixup", None),
    ("in1k_336", "dataloader.train.mapper.transform.scale", [0.08, 1.0]),
    ("in1k_336", "dataloader.train.mapper.transform.re_prob", 0.0),
    ("in1k_336", "dataloader.test.mapper.transform.crop_pct", 1.0),
    ("in1k_336", "dataloader.test.mapper.transform.interpolation", "bicubic"),
    ("in1k_336", "dataloader.test.repeat_to_multiple_of", 1),
    ("in1k_560", "model.smoothing", 0.3),
    ("in1k_560", "train.ema.enabled", True),
    ("linear_probe_224", "dataloader.train.total_batch_size", 16000),
    ("linear_probe_224", "model.pooling", "class"),
    ("linear_probe_224", "model.head", "probe"),
    ("linear_probe_224", "model.drop_path_rate", 0.0),
    ("linear_probe_224", "model.smoothing", 0.0),
    ("linear_probe_224", "optimizer.momentum", 0.9),
    ("linear_probe_224", "optimizer.trust_coefficient", 0.001),
    ("linear_probe_224", "optimizer.weight_decay", 0.0),
    ("evaluate_imagenet_v2", "dataloader.test.mapper.transform.interpolation", "bilinear"),
    ("evaluate_imagenet_v2", "dataloader.test.mapper.transform.crop_pct", 1.0),
    ("evaluate_imagenet_a", "dataloader.evaluator.subset", "imagenet_a"),
    ("evaluate_imagenet_a", "dataloader.test.repeat_to_multiple_of", 8),
    ("evaluate_imagenet_r", "dataloader.evaluator.subset", "imagenet_r"),
    ("evaluate_imagenet_sketch", "dataloader.test.repeat_to_multiple_of", 8),
    ("evaluate_objectnet", "dataloader.test.mapper.border", 2),
    ("evaluate_objectnet", "dataloader.test.mapper.transform.interpolation", "bilinear"),
    ("evaluate_objectnet", "dataloader.evaluator.published_label_mapping.first_only", True),
    ("evaluate_objectnet_published", "dataloader.test.mapper.border", 0),
]


@pytest.mark.parametrize(("name", "key", "value"), SETTINGS)
def test_published_setting(name, key, value):
    found = OmegaConf.select(recipe(name), key, throw_on_missing=True)
    assert (list(found) if isinstance(value, list) else found) == value


def test_cutmix_alone_carries_the_smoothing_of_21k():
    mixup = instantiate(load("in21k_224").dataloader.train.collate.mixup)
    assert isinstance(mixup, Mixup)
    assert (mixup.mixup_alpha, mixup.cutmix_alpha, mixup.mix_prob, mixup.mode) == (0, 1, 1, "batch")
    assert (mixup.label_smoothing, mixup.num_classes) == (0.1, 21841)


def test_objectnet_takes_any_class_that_names_the_object():
    evaluator = recipe("evaluate_objectnet").dataloader.evaluator
    assert "first_only" not in evaluator.label_mapping
    assert evaluator.label_mapping.root == evaluator.published_label_mapping.root


def test_only_the_head_of_a_probe_learns():
    cfg = load("linear_probe_336")
    model = build_on_meta(cfg)
    freeze_parameters(model, cfg.train.freeze)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["head.1.weight", "head.1.bias"]


def test_own_classes_are_settings():
    part = "dataloader.train.dataset"
    for value, wanted in (("classes.txt", "classes.txt"), ("null", None)):
        cfg = load_config(str(CONFIGS / "in1k_336.py"), [f"{part}.class_map={value}", "model.num_classes=37"])
        assert cfg.dataloader.train.dataset.class_map == wanted
        assert cfg.dataloader.train.dataset.num_classes == cfg.dataloader.test.dataset.num_classes == 37


def test_another_size_is_one_setting():
    cfg = load_config(
        str(CONFIGS / "evaluate_imagenet_a.py"), ["model.img_size=560", "dataloader.evaluator.subset=null"]
    )
    assert cfg.dataloader.test.mapper.transform.size == 560
    evaluator = instantiate(cfg.dataloader.evaluator)
    assert type(evaluator._label_mappings["accuracy"]) is LabelMapping


def test_the_published_accuracy_on_imagenet_a_is_one_over_repeated_images():
    images, multiple = 7500, recipe("evaluate_imagenet_a").dataloader.test.repeat_to_multiple_of
    padded = -(-images // multiple) * multiple
    assert any(round(100 * count / padded, 3) == 86.154 for count in range(padded))
    assert all(round(100 * count / images, 3) != 86.154 for count in range(images))
