"""Learning-rate factors by layer."""

import pytest

from eva_engine.training.optimization import layer_decay


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("backbone.net.pos_embed", 0.013302794647291146),
        ("backbone.net.patch_embed.proj.weight", 0.013302794647291146),
        ("backbone.net.blocks.0.attn.qkv.weight", 0.014780882941434608),
        ("backbone.net.blocks.20.attn.rel_pos_h", 0.12157665459056935),
        ("backbone.net.blocks.39.mlp.fc1.bias", 0.9),
        ("backbone.net.blocks.3.residual.conv1.weight", 1.0),
        ("backbone.simfp_2.0.weight", 1.0),
        ("roi_heads.box_head.0.fc1.weight", 1.0),
    ],
)
def test_factor_of_a_parameter(name, factor):
    assert layer_decay(num_layers=40, lr_decay_rate=0.9)(name) == pytest.approx(factor, rel=1e-12)
