"""Deformable attention compared with transformers' implementation: values, gradients and saved memory."""

import pytest
import torch
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoderEncoderMultiscaleDeformableAttention as StockAttention,
)
from transformers.models.mask2former.modeling_mask2former import multi_scale_deformable_attention

from eva_backbone.errors import InputError
from eva_semseg.deformable_attention import MultiScaleDeformableAttention, deformable_attention, pixel_centres


def draw(shapes, batch=2, heads=4, dim=6, queries=5, points=3, dtype=torch.float32):
    """value, locations (some outside) and weights that need gradients."""
    value = torch.randn(batch, sum(h * w for h, w in shapes), heads, dim, dtype=dtype)
    locations = torch.rand(batch, queries, heads, len(shapes), points, 2, dtype=dtype) * 1.6 - 0.3
    weights = torch.randn(batch, queries, heads, len(shapes) * points, dtype=dtype).softmax(-1)
    weights = weights.view(locations.shape[:-1])
    return [tensor.requires_grad_() for tensor in (value, locations, weights)]


def kept_bytes(run):
    """Bytes that the autograd graph of `run()` keeps, each storage counted once."""
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    del result
    return sum(kept.values())


@pytest.mark.parametrize("shapes", [[(7, 5)], [(4, 6), (2, 3)], [(8, 3), (4, 4), (1, 2), (5, 1)]])
@pytest.mark.parametrize(("batch", "heads", "points"), [(1, 1, 1), (2, 4, 3), (1, 3, 5)])
def test_equals_transformers(shapes, batch, heads, points):
    inputs = draw(shapes, batch, heads, points=points)
    value, locations, weights = inputs
    ours = deformable_attention(value, shapes, locations, weights)
    stock = multi_scale_deformable_attention(value, shapes, locations, weights)
    torch.testing.assert_close(ours, stock, rtol=0, atol=2e-6)
    gradient = torch.randn_like(ours)
    found = torch.autograd.grad(ours, inputs, gradient)
    for name, own, other in zip("vlw", found, torch.autograd.grad(stock, inputs, gradient), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize(
    "needed", [(True, True, True), (False, True, False), (True, False, True), (False, False, True)]
)
def test_gradients_in_double_precision(needed):
    shapes = [(3, 4), (2, 2)]
    torch.manual_seed(0)
    inputs = [t.detach().requires_grad_(n) for t, n in zip(draw(shapes, dtype=torch.float64), needed, strict=True)]
    assert torch.autograd.gradcheck(lambda v, x, w: deformable_attention(v, shapes, x, w), inputs, fast_mode=True)


def test_module_equals_transformers_under_its_names():
    shapes = [(4, 6), (2, 3), (8, 12)]
    ours, stock = MultiScaleDeformableAttention(16, 4, 3, 2), StockAttention(16, 4, 3, 2)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    stock.load_state_dict(ours.state_dict())
    query, tokens = torch.randn(2, 9, 16), torch.randn(2, 126, 16)
    reference = torch.rand(2, 9, 3, 2)
    expected, _ = stock(query, encoder_hidden_states=tokens, reference_points=reference, spatial_shapes_list=shapes)
    torch.testing.assert_close(ours(query, reference, tokens, shapes), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sampling_is_float32_under_autocast(dtype):
    """Only the linear layers round: coordinates in half precision would be off by a part of a pixel."""
    attention = MultiScaleDeformableAttention(32, 4, 1, value_ratio=0.5)
    query, tokens = torch.randn(1, 50, 32), torch.randn(1, 120 * 120, 32)
    reference = pixel_centres([(120, 120)])[:, 12000:12050]
    expected = attention(query, reference, tokens, [(120, 120)])
    with torch.autocast("cpu", dtype):
        found = attention(query, reference, tokens, [(120, 120)])
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.03 * expected.abs().max().item())


def test_samples_are_not_kept_for_the_backward_pass():
    shapes = [(16, 16), (8, 8), (4, 4)]
    inputs = draw(shapes, batch=1, heads=4, dim=32, queries=336, points=4)
    ours = kept_bytes(lambda: deformable_attention(inputs[0], shapes, *inputs[1:]))
    stock = kept_bytes(lambda: multi_scale_deformable_attention(inputs[0], shapes, *inputs[1:]))
    assert ours == sum(tensor.nbytes for tensor in inputs)
    assert ours < stock / 4


def test_new_module_samples_around_its_reference_points():
    """Head k of 4 samples to the right, down, left, up, and point p at a distance of p pixels, with equal weights."""
    attention = MultiScaleDeformableAttention(8, 4, 2, 3)
    offsets = attention.sampling_offsets(torch.randn(8)).view(4, 2, 3, 2)
    directions = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    expected = directions[:, None, None] * torch.arange(1, 4)[:, None]
    torch.testing.assert_close(offsets, expected.expand_as(offsets), rtol=0, atol=1e-6)
    assert not attention.attention_weights(torch.randn(8)).any()


def test_maps_that_do_not_match_the_tokens_are_refused():
    value, locations, weights = draw([(4, 6)])
    with pytest.raises(ValueError, match=r"24 tokens, which do not match maps of shapes \[\(4, 5\)\]"):
        deformable_attention(value, [(4, 5)], locations, weights)
    with pytest.raises(InputError, match="width 9 cannot be divided among 4 heads"):
        MultiScaleDeformableAttention(18, 4, 1, value_ratio=0.5)


def test_pixel_centres_are_x_and_y():
    assert pixel_centres([(1, 2), (2, 1)]).tolist() == [[[[0.25, 0.5]], [[0.75, 0.5]], [[0.5, 0.25]], [[0.5, 0.75]]]]
