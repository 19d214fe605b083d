"""The recipes of EVA-02's UperNet: models, parameter groups, schedule, data and views as published."""

from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate

from eva_engine.config import load_config
from eva_engine.training.optimization import build_optimizer
from eva_semseg.upernet import UperNet

FOLDER = Path(__file__).parents[2] / "projects/SemSeg/configs/eva02/upernet"
BASE, LARGE = "upernet_eva02_base_12_512_slide_60k", "upernet_eva02_large_24_512_slide_80k"
LARGE_MS, LARGE_640 = "upernet_eva02_large_24_512_slide_ms_eval", "upernetpro_eva02_large_24_640_slide_80k"
# parameters, depth, drop path, side, stride, images, iterations, learning rate, decay
RECIPES = {
    BASE: (163_339_052, 12, 0.15, 512, 341, 32, 60_000, 6e-5, 0.85),
    LARGE: (439_988_460, 24, 0.2, 512, 341, 16, 80_000, 4e-5, 0.9),
    LARGE_MS: (439_988_460, 24, 0.2, 512, 341, 16, 80_000, 4e-5, 0.9),
    LARGE_640: (590_808_300, 24, 0.2, 640, 426, 16, 80_000, 4e-5, 0.9),
}


def test_every_recipe_is_tested():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_as_published(name):
    parameters, depth, drop_path, side, stride, images, iterations, *_ = RECIPES[name]
    cfg = load_config(str(FOLDER / f"{name}.py"))
    with torch.device("meta"):
        model = instantiate(cfg.model)
    assert isinstance(model, UperNet)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert model.num_classes == model.auxiliary_head.num_classes == 150
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in model.backbone.blocks]
    assert rates == pytest.approx([drop_path * i / (depth - 1) for i in range(depth)])
    assert model.backbone.pos_grid == (side // 16, side // 16)
    assert model.inference.windows.size == (side, side)
    assert model.inference.windows.stride == (stride, stride)

    schedule = instantiate(cfg.lr_multiplier)
    assert (schedule.max_iter, schedule.warmup_iters) == (cfg.train.max_iter, 1500) == (iterations, 1500)
    # The formula of the release, in the warm-up and after it.
    for i in (0, 700, 1499, 1500, 30_000):
        warmup = 1 - (1 - min(i / 1500, 1)) * (1 - 1e-6)
        assert schedule.at(i) == pytest.approx((1 - i / iterations) * warmup, rel=1e-12)
    assert cfg.dataloader.train.total_batch_size == images
    assert cfg.train.amp == {"enabled": True, "dtype": "float16"}
    assert (cfg.train.clip_grad_norm, cfg.train.ema.enabled) == (0, False)

    mapper = instantiate(cfg.dataloader.train.mapper)
    scale, crop = mapper.augmentations[:2]
    assert (scale.long_side, scale.short_side) == (4 * side, side)
    assert (scale.lowest_ratio, scale.highest_ratio) == (0.5, 2.0)
    assert mapper.size == crop.size == (side, side)
    assert crop.cat_max_ratio == 0.75
    # Those of ImageNet, not CLIP's, which pre-training used.
    assert mapper.pixel_mean.tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert mapper.pixel_std.tolist() == pytest.approx([58.395, 57.12, 57.375])
    views = instantiate(cfg.dataloader.test.mapper.views)
    assert len(views.ratios) * (1 + views.flip) == (12 if name == LARGE_MS else 1)
    assert next(size for _, size in views._view_sizes(side + 88, side)) == (side + 88, side)


@pytest.mark.parametrize("name", [BASE, LARGE])
def test_learning_rates_and_weight_decay_of_every_parameter(name):
    """Also of class token and position table, which decay: the release looks for them under other names."""
    depth, lr, decay = RECIPES[name][1], *RECIPES[name][-2:]
    cfg = load_config(str(FOLDER / f"{name}.py"))
    with torch.device("meta"):
        model = instantiate(cfg.model)
    optimizer = build_optimizer(cfg, model)
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.999)}
    found = {}
    for group in optimizer.param_groups:
        found |= {id(parameter): (group["lr"], group["weight_decay"]) for parameter in group["params"]}
    for entry, parameter in model.named_parameters():
        layer = depth + 1
        if entry in ("backbone.cls_token", "backbone.pos_embed") or entry.startswith("backbone.patch_embed."):
            layer = 0
        elif entry.startswith("backbone.blocks."):
            layer = int(entry.split(".")[2]) + 1
        rate, weight_decay = found[id(parameter)]
        assert rate == pytest.approx(lr * decay ** (depth + 1 - layer)), entry
        assert weight_decay == (0.0 if parameter.ndim == 1 else 0.05), entry
    assert len(optimizer.param_groups) == 2 * (depth + 2)


def test_views_of_several_scales():
    """The shorter side is never below the window: three of the ratios give equal views."""
    views = instantiate(load_config(str(FOLDER / f"{LARGE_MS}.py")).dataloader.test.mapper.views)
    assert [size for _, size in views._view_sizes(480, 641)] == [
        *[(512, 684)] * 3,
        (640, 855),
        (768, 1026),
        (896, 1197),
    ]
    # Without a limit of the longer side, as for one scale, where it would be 2048.
    assert views._view_sizes(100, 1000)[0][1] == (512, 5120)
    views = instantiate(load_config(str(FOLDER / f"{LARGE}.py")).dataloader.test.mapper.views)
    assert views._view_sizes(100, 1000)[0][1] == (205, 2048)
