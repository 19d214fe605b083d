"""EVA-02's segmentation with UperNet: maps, logits, losses, gradients, sliding windows, views, parameter groups."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from eva_backbone import PRESETS
from eva_engine.training.optimization import layer_decay_groups
from eva_semseg.data import TestTimeAugmentation
from eva_semseg.fpn_backbone import FpnBackbone
from eva_semseg.inference import view_probabilities
from eva_semseg.parameter_groups import published_grouping
from eva_semseg.sliding_windows import SlidingWindows
from eva_semseg.uper_head import FCNHead, UPerHead
from eva_semseg.upernet import UperNet

from ..case import GoldenCase, family
from ..listed_draws import assert_near
from .classification_backbone import draw_entries
from .classification_losses import assert_gradients

CLEAR_MARGIN = 1e-4  # between the two best classes of a pixel, below which rounding may exchange them


def build_upernet(config: dict[str, Any]) -> UperNet:
    """Build the model from the configuration of a case."""
    sizes = {name: config[name] for name in ("img_size", "embed_dim", "depth", "num_heads", "out_indices")}
    backbone = FpnBackbone(**{**PRESETS["eva02_base"], **sizes})
    classes, dim = config["num_classes"], config["embed_dim"]
    return UperNet(
        backbone,
        UPerHead(classes, dim, channels=config["channels"]),
        FCNHead(classes, dim, channels=config["aux_channels"]),
    )


def load_drawn(model: nn.Module, spec: dict[str, Any]) -> None:
    """Load the weights of a case; all entries but rotary tables and counters of batches are drawn."""
    drawn = draw_entries(spec)
    counters = {name for name in model.state_dict() if name.endswith("num_batches_tracked")}
    assert model.state_dict().keys() == drawn.keys() | counters
    assert counters == {name for name, _ in spec["not_drawn"] if ".rope." not in name}
    model.load_state_dict(drawn, strict=False)


def train_without_randomness(model: nn.Module) -> None:
    """Set the training mode, in which the model returns losses, with running statistics and without dropout."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm | nn.Dropout2d):
            module.eval()


@family("eva02_upernet")
def check_upernet(case: GoldenCase) -> None:
    spec, config = case.spec, case.spec["config"]
    model = build_upernet(config).eval()
    load_drawn(model, spec)
    generator = np.random.Generator(np.random.PCG64(spec["input_seed"]))
    side, classes = config["img_size"], config["num_classes"]
    image = torch.from_numpy(generator.standard_normal((1, 3, side, side)).astype(np.float32))
    labels = torch.from_numpy(generator.integers(0, classes, (1, side, side)))
    labels[torch.from_numpy(generator.random((1, side, side)) < 0.2)] = 255
    other = torch.from_numpy(generator.standard_normal(spec["slide_image"]).astype(np.float32))

    maps = model.backbone(image)
    for name, (shape, total, norm) in zip(maps, spec["feature_sums"].values(), strict=True):
        found = maps[name].double()
        assert list(found.shape) == shape
        # A sum of numbers of both signs is smaller than its rounding errors, which grow with the norm.
        assert found.sum().item() == pytest.approx(total, rel=2e-5, abs=1e-5 * norm * found.numel() ** 0.5)
        assert found.norm().item() == pytest.approx(norm, rel=2e-5)
    found = {
        "f2": maps["res3"][:, ::4],
        "f3": maps["res4"][:, ::2],
        "f4": maps["res5"],
        "logits": model.decode_head(maps)[:, :, ::2, ::2],
        "aux_logits": model.auxiliary_head(maps),
    }
    with torch.no_grad():
        windows = SlidingWindows((side, side), (config["stride"], config["stride"]), batch_size=4)
        slide = windows(model._window_scores, other).rows()
        found["slide_logits"] = slide[:, :, 3::8, 5::8]
        resized = windows(model._window_scores, other, output_size=tuple(spec["rescale_to"]))
        found["rescaled_probabilities"] = view_probabilities(resized)[:, :, 3::16, 5::16]
    for name, value in found.items():
        assert_near(value, case.arrays[name], name)
    best, second = slide.topk(2, dim=1).values.unbind(1)
    is_clear = best - second > CLEAR_MARGIN
    assert is_clear.float().mean() > 0.99
    assert slide.argmax(1)[is_clear].equal(case.tensor("slide_argmax").long()[is_clear])

    train_without_randomness(model)
    losses = model({"image": image, "label": labels})
    assert losses["loss_ce"].item() == pytest.approx(case.arrays["loss_decode"].item(), rel=2e-6)
    assert losses["aux.loss_ce"].item() == pytest.approx(case.arrays["loss_aux"].item(), rel=2e-6)
    sum(losses.values()).backward()
    assert_gradients(model, spec["grads"])


@family("eva02_ms_sizes")
def check_view_sizes(case: GoldenCase) -> None:
    spec = case.spec
    (long_side, short_side), ratios = spec["img_scale"], spec["ratios"]
    assert short_side == spec["crop"]
    views = TestTimeAugmentation(
        long_side=None, short_side=short_side, ratios=ratios, divisor=1, min_short_side=spec["crop"]
    )
    assert long_side == 4 * short_side
    for shape, expected in zip(spec["shapes"], case.arrays["sizes"].tolist(), strict=True):
        found = views(np.zeros((*shape, 3), np.uint8))
        assert [list(view["content"]) for view in found] == expected, shape


def check_upernet_groups(settings: dict[str, Any]) -> None:
    """Compare the parameter groups of a UperNet, one of the recipes of `eva02_param_groups`."""
    with torch.device("meta"):
        model = build_upernet(settings["config"])
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = layer_decay_groups(
        model, 1.0, settings["weight_decay"], settings["layer_decay"], rule=published_grouping()
    )
    found = [(g["lr"], g["weight_decay"], [names[id(p)] for p in g["params"]]) for g in groups]
    assert found == [(group["lr_scale"], group["weight_decay"], group["names"]) for group in settings["groups"]]
