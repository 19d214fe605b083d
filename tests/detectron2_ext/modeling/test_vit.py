"""Effect of the original option names on the backbone."""

import pytest
import torch

from detectron2_ext.modeling import ViT


@pytest.mark.parametrize(
    ("qkv_bias", "beit_like", "names"),
    [
        (True, True, {"q_bias", "v_bias"}),
        (False, True, {"q_bias", "v_bias"}),  # as in the original, where the latter option stands above the former
        (True, False, {"qkv.bias"}),
        (False, False, set()),
    ],
)
def test_biases_of_the_attention(qkv_bias, beit_like, names):
    with torch.device("meta"):
        model = ViT(embed_dim=8, depth=1, num_heads=2, qkv_bias=qkv_bias, beit_like_qkv_bias=beit_like)
    found = {name for name, _ in model.blocks[0].attn.named_parameters() if "bias" in name and "proj" not in name}
    assert found == names
