"""Exported and compiled programs equal the backbone, and tracing does not affect later calls in this process."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from eva_backbone import VisionTransformer

LAYOUTS = pytest.mark.parametrize(
    "layout",
    [
        {"rel_pos": "joint", "rel_pos_resize": "beit"},
        {"rel_pos": "decoupled", "img_size": (24, 32)},
        {"shared_rel_pos": "joint", "img_size": (24, 32)},
        {"rel_pos": "decomposed", "rel_pos_resize": "beit", "class_token": False},
        {"class_token": False, "rel_pos": "decomposed", "window_size": 4, "window_blocks": [0]},
        {"class_token": False, "rope": True, "mlp": "swiglu", "mlp_norm": True, "window_size": 4, "window_blocks": [0]},
    ],
    ids=lambda layout: "-".join(str(value) for value in layout.values() if isinstance(value, str)),
)


def make(layout):
    sizes = {"img_size": (16, 24), "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2, "mlp_ratio": 2.0}
    model = VisionTransformer(**{**sizes, **layout}).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@LAYOUTS
def test_an_exported_program_takes_any_batch(layout):
    model, images = make(layout), torch.randn(3, 3, 24, 32)
    batch = torch.export.Dim("batch", min=1, max=8)
    with torch.no_grad():
        program = torch.export.export(model, (images[:2],), dynamic_shapes=({0: batch},)).module()
        torch.testing.assert_close(program(images), model(images), rtol=0, atol=1e-5)
        torch.testing.assert_close(model(images), torch.cat([model(x[None]) for x in images]), rtol=0, atol=1e-5)


@LAYOUTS
def test_a_compiled_program_is_one_graph(layout):
    model, images = make(layout), torch.randn(2, 3, 24, 32)
    torch._dynamo.reset()
    program = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(program(images), model(images), rtol=0, atol=1e-5)


@LAYOUTS
def test_a_run_with_fake_tensors_does_not_affect_later_runs(layout):
    model, images = make(layout), torch.randn(1, 3, 24, 32)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        model(mode.from_tensor(images))
    assert model(images).isfinite().all()
    expected = make(layout)
    expected.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(images), expected(images), rtol=0, atol=0)
