"""A ViT that starts with convolutions."""

import pytest
import torch

from detectron2_ext.modeling.conv_stem import ConvStem, ConvStemViT
from eva_backbone.errors import InputError

SMALL = {"embed_dim": 16, "depth": 1, "num_heads": 2, "img_size": 32, "use_abs_pos": False, "rope": True}


def test_tokens_are_in_row_major_order_at_the_stride_of_all_convolutions():
    stem = ConvStem([4, 8, 8], in_chans=3, embed_dim=16)
    pixels = torch.randn(2, 3, 24, 40)
    tokens, grid = stem(pixels)
    assert grid == (3, 5)
    assert tokens.shape == (2, 15, 16)
    expected = stem.proj(stem.layers(pixels))
    assert torch.equal(tokens[:, 1 * 5 + 4], expected[:, :, 1, 4])


def test_the_map_has_the_stride_of_the_patches():
    model = ConvStemViT([4, 8, 8], patch_size=8, **SMALL)
    assert model(torch.zeros(1, 3, 32, 48))["last_feat"].shape == (1, 16, 4, 6)
    assert model.output_shape()["last_feat"].stride == 8


def test_a_token_sees_its_neighbours_before_any_attention():
    stem = ConvStem([4, 8, 8], in_chans=3, embed_dim=16)
    pixels = torch.zeros(1, 3, 24, 24, requires_grad=True)
    stem(pixels)[0][0, 4].sum().backward()  # the patch in the middle, rows and columns 8 to 15
    assert pixels.grad[0, :, 8:16, 1:8].abs().sum() > 0


def test_the_number_of_convolutions_must_make_the_patch():
    with pytest.raises(InputError, match="set patch_size=4"):
        ConvStemViT([4, 8], patch_size=8, **SMALL)
