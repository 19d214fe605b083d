"""Training settings of detection: repeat factors, schedules, layer decay, anchors, the float32 LayerNorm."""

from pathlib import Path

import numpy as np
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.data.samplers import RepeatFactorTrainingSampler
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator

from eva_backbone.layer_norm import LayerNorm
from eva_engine.training.optimization import layer_decay

from ..case import GoldenCase, family
from ..weights import draw_normal, draw_state_dict

CONFIGS = Path(__file__).parents[3] / "projects" / "ViTDet" / "configs"


@family("misc")
def check_training_parts(case: GoldenCase) -> None:
    check_repeat_factors(case)
    check_schedules(case)
    check_anchors(case)
    check_layer_norm(case)
    decay = layer_decay(**case.spec["layer_decay_args"])
    for name, factor in case.spec["layer_decay"].items():
        assert decay(name) == factor, name


def check_repeat_factors(case: GoldenCase) -> None:
    images = [
        {"annotations": [{"category_id": category} for category in categories]}
        for categories in case.spec["image_categories"]
    ]
    for threshold, expected in case.spec["repeat_factors"].items():
        factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(images, float(threshold))
        np.testing.assert_allclose(factors, expected, rtol=1e-6)


def check_schedules(case: GoldenCase) -> None:
    for dataset, expected in case.spec["lr_multipliers"].items():
        config = LazyConfig.load(str(CONFIGS / dataset.upper() / "cascade_mask_rcnn_vitdet_eva.py"))
        multiplier = instantiate(config.lr_multiplier)
        for iteration, value in expected:
            np.testing.assert_allclose(multiplier(iteration / config.train.max_iter), value, rtol=1e-9)


def check_anchors(case: GoldenCase) -> None:
    sizes = [[32 * 2**i] for i in range(len(case.arrays["cell_anchors"]))]
    strides = [4 * 2**i for i in range(len(sizes))]
    generator = DefaultAnchorGenerator(sizes=sizes, aspect_ratios=[0.5, 1.0, 2.0], strides=strides, offset=0.0)
    for cell, expected in zip(generator.cell_anchors, case.arrays["cell_anchors"], strict=True):
        np.testing.assert_allclose(cell, expected, rtol=1e-6)
    maps = [torch.zeros(1, 1, 3, 4)] + [torch.zeros(1, 1, 1, 1)] * (len(sizes) - 1)
    np.testing.assert_allclose(generator(maps)[0].tensor, case.arrays["p2_grid"], rtol=1e-6)


def check_layer_norm(case: GoldenCase) -> None:
    spec = case.spec["layernorm"]
    norm = LayerNorm(spec["dim"], eps=spec["eps"])
    shapes = {name: list(value.shape) for name, value in norm.state_dict().items()}
    norm.load_state_dict(draw_state_dict(shapes, spec["weight_rules"], spec["weight_seed"]))
    source = draw_normal(spec["input_seed"], spec["input_shape"], 40.0) + 300
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        with torch.no_grad():
            output = norm(source.to(dtype))
        assert output.dtype == dtype
        expected = case.arrays[f"ln_{dtype}".replace("torch.", "")]
        np.testing.assert_allclose(output.float(), expected, rtol=0, atol=1e-5)
