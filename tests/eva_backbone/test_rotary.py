"""Rotary positions and gated MLPs: timm's EVA-02 as the oracle, grids of any shape, and what depends on positions."""

import pytest
import timm
import torch
from timm.layers import RotaryEmbeddingCat, apply_rot_embed_cat
from timm.models.eva import checkpoint_filter_fn

from eva_backbone import VisionTransformer
from eva_backbone.attention import Attention
from eva_backbone.errors import InputError
from eva_backbone.rotary import grid_rotation
from eva_classification import create_classifier

CPU = torch.device("cpu")
SMALL = {"img_size": (24, 32), "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2, "mlp_ratio": 8 / 3}
EVA02 = {"rope": True, "mlp": "swiglu", "mlp_norm": True, "qkv_layers": "separate"}
PACKED = {"rope": True, "mlp": "packed_swiglu"}


def random_model(**options) -> VisionTransformer:
    torch.manual_seed(0)
    model = VisionTransformer(**{**SMALL, **options}).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize("grid", [(16, 16), (5, 9), (24, 7), (1, 3)])
def test_equals_timm_on_any_grid(grid):
    theirs = RotaryEmbeddingCat(
        dim=32, in_pixels=False, feat_shape=list(grid), ref_feat_shape=[16, 16], rotate_half=False
    ).get_embed()
    x = torch.randn(2, 3, grid[0] * grid[1], 32)
    rotation = grid_rotation(grid, 32, 16, 0, CPU)
    torch.testing.assert_close(rotation.apply(x), apply_rot_embed_cat(x, theirs), rtol=1e-5, atol=1e-5)


def test_prefix_tokens_are_not_rotated():
    x = torch.randn(1, 2, 13, 8)
    rotated = grid_rotation((3, 4), 8, 16, 1, CPU).apply(x)
    assert torch.equal(rotated[:, :, 0], x[:, :, 0])
    assert torch.equal(rotated[:, :, 1:], grid_rotation((3, 4), 8, 16, 0, CPU).apply(x[:, :, 1:]))


def test_products_depend_on_differences_of_positions():
    rotation = grid_rotation((4, 6), 16, None, 0, CPU)
    query, key = (torch.randn(1, 1, 1, 16).expand(-1, -1, 24, -1) for _ in range(2))
    products = (rotation.apply(query) @ rotation.apply(key).transpose(-2, -1)).view(4, 6, 4, 6)
    torch.testing.assert_close(products[:-1, :-1, :-1, :-1], products[1:, 1:, 1:, 1:])
    assert (products[0, 0] - products[0, 0, 0, 0]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("name", "timm_name", "options"),
    [
        ("eva02_tiny_patch14", "eva02_tiny_patch14_336", {}),
        ("eva02_small_patch14", "eva02_small_patch14_336", {"img_size": 336}),
        ("eva02_base_patch14", "eva02_base_patch14_448", {}),
        ("eva02_large_patch14", "eva02_large_patch14_448", {"img_size": 448}),
    ],
)
@torch.inference_mode()
def test_classifiers_equal_timm_at_full_width(name, timm_name, options):
    size = options.get("img_size", 224)
    torch.manual_seed(0)
    ours = create_classifier(name, num_classes=7, depth=2, **options)
    for parameter in ours.parameters():
        if parameter.ndim == 1:  # biases and norms whose initial values would hide an error
            parameter.add_(0.2 * torch.randn_like(parameter))
    ours.head.weight.mul_(1000)
    theirs = timm.create_model(timm_name, num_classes=7, depth=2, img_size=size).eval()
    theirs.load_state_dict(checkpoint_filter_fn(ours.state_dict(), theirs))
    images = torch.randn(1, 3, size, size)
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [EVA02, PACKED, {**EVA02, "attention_norm": True}], ids=["split", "packed", "norm"])
@pytest.mark.parametrize("kernel", ["eager", "chunked", "sdpa"])
def test_kernels_agree_with_gradients(options, kernel):
    pixels = torch.randn(2, 3, 24, 32)
    results = []
    for name in ("auto", kernel):
        model = random_model(**options, attention=name)
        out = model(pixels)
        out.square().mean().backward()
        results.append([out.detach(), *(parameter.grad for parameter in model.parameters())])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_windows_have_positions_of_their_own():
    """Two windows of equal content give equal tokens, while global attention tells them apart."""
    options = {**EVA02, "class_token": False, "abs_pos": False, "depth": 1, "final_norm": False}
    tile = torch.randn(1, 3, 16, 16)
    pixels = torch.cat([tile, tile], dim=3)
    windowed = random_model(**options, window_size=4, window_blocks=[0])
    left, right = windowed.forward_map(pixels).chunk(2, dim=3)
    torch.testing.assert_close(left, right)
    left, right = random_model(**options).forward_map(pixels).chunk(2, dim=3)
    assert (left - right).abs().max() > 1e-2


@torch.inference_mode()
def test_no_table_is_stored_and_any_size_works():
    model = random_model(**EVA02, class_token=False, abs_pos=False)
    assert not [name for name in model.state_dict() if "rope" in name]
    assert model.forward_map(torch.randn(1, 3, 44, 20)).shape == (1, 24, 11, 5)
    # Built for another size, the model is the same.
    other = VisionTransformer(**{**SMALL, **EVA02, "class_token": False, "abs_pos": False, "img_size": 64}).eval()
    other.load_state_dict(model.state_dict())
    pixels = torch.randn(1, 3, 24, 32)
    assert torch.equal(model(pixels), other(pixels))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_half_precision(dtype):
    pixels = torch.randn(1, 3, 24, 32)
    expected = random_model(**EVA02)(pixels)
    found = random_model(**EVA02).to(dtype)(pixels.to(dtype))
    assert found.dtype == dtype
    with torch.autocast("cpu", dtype):
        mixed = random_model(**EVA02)(pixels)
    tolerance = 0.1 if dtype is torch.bfloat16 else 0.02
    for values in (found, mixed):
        torch.testing.assert_close(values.float(), expected, rtol=0, atol=tolerance * expected.abs().max().item())


@torch.inference_mode()
def test_attention_maps_are_those_of_the_rotated_queries():
    attention = random_model(**EVA02).blocks[0].attn
    x = torch.randn(1, 49, 24)
    weights = attention.attention_map(x, (6, 8))
    value = attention.v_proj(x) + attention.v_bias
    value = value.unflatten(-1, (2, 12)).transpose(1, 2)
    expected = attention.proj((weights @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, (6, 8)), expected)


def test_cross_attention_with_separate_layers():
    attention = Attention(24, 2, qkv_layers="separate")
    x, key, value = (torch.randn(2, n, 24) for n in (3, 5, 5))
    fused = Attention(24, 2)
    with torch.no_grad():
        fused.qkv.weight.copy_(torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]))
    fused.proj = attention.proj
    torch.testing.assert_close(attention(x, key=key, value=value), fused(x, key=key, value=value))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({**EVA02, "num_heads": 4}, "rotary positions do not fit heads of 6 channels"),
        ({"rope": True, "tubelet_size": 1, "num_frames": 4}, "rotary positions have rows and columns only"),
        ({"qkv_layers": "separate", "qkv_bias": "full"}, "qkv_bias='full' does not fit qkv_layers='separate'"),
        ({"mlp": "geglu"}, "mlp='geglu' is not known; choose one of gelu, swiglu, packed_swiglu"),
        ({"qkv_layers": "three"}, "qkv_layers='three' is not known; choose one of fused, separate"),
    ],
)
def test_options_that_do_not_fit(options, sentence):
    with pytest.raises(InputError, match=sentence):
        VisionTransformer(**{**SMALL, **options})
