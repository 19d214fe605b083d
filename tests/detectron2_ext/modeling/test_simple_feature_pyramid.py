"""The pyramid against Detectron2's, in values, gradients and names."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from detectron2.modeling.backbone import vit
from detectron2.modeling.backbone.fpn import LastLevelMaxPool

from detectron2_ext.modeling import ChannelLayerNorm, SimpleFeaturePyramid


class OneMap(Backbone):
    """Stand-in for the ViT that returns its input as the map of stride 16."""

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {"last_feat": ShapeSpec(channels=16, stride=16)}

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"last_feat": x}


def build(cls, **options) -> vit.SimpleFeaturePyramid:
    options = {"scale_factors": [4.0, 2.0, 1.0, 0.5], "top_block": LastLevelMaxPool(), "square_pad": 160} | options
    return cls(OneMap(), in_feature="last_feat", out_channels=8, **options)


def pair(**options) -> tuple[SimpleFeaturePyramid, vit.SimpleFeaturePyramid]:
    ours, stock = build(SimpleFeaturePyramid, **options), build(vit.SimpleFeaturePyramid, **options)
    with torch.no_grad():
        for parameter in stock.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    ours.load_state_dict(stock.state_dict())
    return ours, stock


@pytest.mark.parametrize("norm", ["LN", "GN2"])
@pytest.mark.parametrize("hw", [(4, 6), (10, 10), (5, 3)])
@pytest.mark.parametrize("train", [False, True])
def test_same_as_detectron2(norm: str, hw: tuple[int, int], train: bool) -> None:
    ours, stock = pair(norm=norm if norm == "LN" else lambda channels: torch.nn.GroupNorm(2, channels))
    x = torch.randn(2, 16, *hw)
    with torch.set_grad_enabled(train):
        levels, expected = ours(x), stock(x)
    assert list(levels) == list(expected) == ["p2", "p3", "p4", "p5", "p6"]
    for name, value in expected.items():
        torch.testing.assert_close(levels[name], value, rtol=1e-5, atol=1e-5)
        assert levels[name].is_contiguous()


@pytest.mark.parametrize("norm", ["LN", "GN2"])
@pytest.mark.parametrize("hw", [(4, 6), (10, 10), (5, 3)])
def test_gradients_as_detectron2(norm: str, hw: tuple[int, int]) -> None:
    """In float64: the sums are in the thousands, so float32 rounding errors would hide real differences."""
    ours, stock = pair(norm=norm if norm == "LN" else lambda channels: torch.nn.GroupNorm(2, channels))
    x = torch.randn(2, 16, *hw, dtype=torch.float64, requires_grad=True)
    x_stock = x.detach().clone().requires_grad_()
    for model, pixels in ((ours, x), (stock, x_stock)):
        sum((v**2).sum() for v in model.double()(pixels).values()).backward()
    torch.testing.assert_close(x.grad, x_stock.grad, rtol=1e-9, atol=1e-9)
    for (name, a), b in zip(ours.named_parameters(), stock.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("scale_factors", [[4.0, 2.0, 1.0, 0.5], [2.0, 1.0], [1.0, 0.5]])
def test_names_and_shapes(scale_factors: list[float]) -> None:
    ours, stock = pair(scale_factors=scale_factors, top_block=None)
    assert list(ours.state_dict()) == list(stock.state_dict())
    assert ours.output_shape() == stock.output_shape()


def test_padding_constraints() -> None:
    pyramid = build(SimpleFeaturePyramid)
    assert pyramid.padding_constraints == {"size_divisibility": 32, "square_size": 160}
    assert pyramid.size_divisibility == 32


@pytest.mark.parametrize("grad", [False, True])
def test_maps_are_float32_under_autocast(grad: bool) -> None:
    pyramid = build(SimpleFeaturePyramid)
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.set_grad_enabled(grad):
        levels = pyramid(torch.randn(1, 16, 4, 4))
    assert {level.dtype for level in levels.values()} == {torch.float32}


@pytest.mark.parametrize("channels_last", [False, True])
def test_channel_norm(channels_last: bool) -> None:
    x = torch.randn(2, 8, 3, 5) * 3 + 100
    norm = ChannelLayerNorm(8)
    y = norm(x.to(memory_format=torch.channels_last) if channels_last else x)
    torch.testing.assert_close(y.mean(dim=1), torch.zeros(2, 3, 5), rtol=0, atol=1e-4)
    torch.testing.assert_close(y.var(dim=1, correction=0), torch.ones(2, 3, 5), rtol=1e-4, atol=1e-4)
