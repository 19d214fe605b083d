"""Constants that are made in inference mode serve a later training step."""

import pytest
import torch

from eva_backbone import VisionTransformer

SMALL = {"patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 2}


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"rope": True, "mlp": "swiglu"}, (36, 44)),
        ({"rel_pos": "joint"}, (28, 28)),
        ({"rel_pos": "decoupled"}, (28, 28)),
        ({"rel_pos": "decomposed", "class_token": False}, (36, 44)),
        ({"rel_pos": "decomposed", "rel_pos_resize": "beit", "class_token": False}, (36, 44)),
    ],
    ids=lambda options: "-".join(map(str, options.values())) if isinstance(options, dict) else "",
)
def test_inference_then_training(options, shape):
    size = shape if "joint" in options.values() or "decoupled" in options.values() else (32, 32)
    model = VisionTransformer(img_size=size, **SMALL, **options)
    pixels = torch.randn(1, 3, *shape)
    with torch.inference_mode():
        model.eval()(pixels)
    model.train()(pixels).sum().backward()
    assert all(parameter.grad is not None for parameter in model.blocks.parameters())
