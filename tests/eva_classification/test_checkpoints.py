"""Weight files in the published layouts, at tiny width, loaded into models of other sizes and for other purposes."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from eva_backbone.errors import InputError
from eva_classification import create_classifier, create_masked_image_model
from eva_engine.checkpoint import build_and_load

TINY = {"name": "eva_tiny_patch14", "embed_dim": 32, "depth": 2, "num_heads": 2}


def save_random(model, path, dtype=torch.float32, wrapper="model"):
    state = {
        name: torch.randn(value.shape).to(dtype) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    torch.save({wrapper: state}, path)
    return state


def resized(table, side):
    """As the published code resizes: bicubic in float32, not antialiased, rounded to the type of the file."""
    old = round((table.shape[1] - 1) ** 0.5)
    maps = table[:, 1:].float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    maps = F.interpolate(maps, (side, side), mode="bicubic", align_corners=False, antialias=False)
    return torch.cat([table[:, :1], maps.permute(0, 2, 3, 1).flatten(1, 2).to(table.dtype)], dim=1).float()


@pytest.mark.parametrize("size", [196, 224, 336, 448, 560])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_pretraining_file_into_classifier(tmp_path, size, dtype):
    path = tmp_path / "eva_psz14.pt"
    state = save_random(create_masked_image_model(**TINY), path, dtype)
    model, report = build_and_load(lambda: create_classifier(**TINY, num_classes=50, img_size=size), path)
    assert set(report.unused) == {"mask_token", "norm.weight", "norm.bias", "lm_head.weight", "lm_head.bias"}
    assert set(report.missing) == {"fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"}
    for name in report.used:
        assert torch.equal(model.state_dict()[name], state[name].float()), name
    torch.testing.assert_close(model.pos_embed.detach(), resized(state["pos_embed"], size // 14), rtol=0, atol=1e-6)
    # Parameters that the file does not contain are initialised as in a new model.
    assert model.fc_norm.weight.eq(1).all()
    assert model.head.bias.eq(0).all()
    assert model.head.weight.std().item() == pytest.approx(2e-5, rel=0.1)
    assert model.eval()(torch.randn(1, 3, size, size)).shape == (1, 50)


@pytest.mark.parametrize(("stored", "size"), [(224, 336), (560, 336), (336, 196), (336, 560)])
@pytest.mark.parametrize("wrapper", ["model", "module"])
def test_classifier_at_another_resolution(tmp_path, stored, size, wrapper):
    state = save_random(create_classifier(**TINY, num_classes=5, img_size=stored), tmp_path / "c.pt", wrapper=wrapper)
    model, report = build_and_load(lambda: create_classifier(**TINY, num_classes=5, img_size=size), tmp_path / "c.pt")
    assert [change.name for change in report.resized] == ["pos_embed"]
    assert [report.unused, report.missing, report.skipped] == [[], [], []]
    torch.testing.assert_close(model.pos_embed.detach(), resized(state["pos_embed"], size // 14), rtol=0, atol=1e-6)
    assert torch.equal(model.head.weight, state["head.weight"])


def test_head_of_other_classes_starts_fresh(tmp_path):
    state = save_random(create_classifier(**TINY, num_classes=50), tmp_path / "21k.pt")
    model, report = build_and_load(lambda: create_classifier(**TINY, num_classes=40), tmp_path / "21k.pt")
    assert [change.name for change in report.skipped] == ["head.weight", "head.bias"]
    assert model.head.weight.abs().max() < 1e-3
    assert torch.equal(model.fc_norm.weight, state["fc_norm.weight"])


def test_probe_on_a_classifier_with_a_head(tmp_path):
    """The linear layer after the batch normalisation has another name, so it keeps its random weights."""
    save_random(create_classifier(**TINY, num_classes=50, pooling="class"), tmp_path / "c.pt")
    build = lambda: create_classifier(**TINY, num_classes=50, pooling="class", head="probe")  # noqa: E731
    model, report = build_and_load(build, tmp_path / "c.pt")
    assert set(report.unused) == {"head.weight", "head.bias"}
    assert {name for name in model.state_dict() if name.startswith("head.")} == set(report.missing)
    assert model.head[1].weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert model.head[0].running_var.eq(1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("create", [create_classifier, create_masked_image_model])
def test_create_with_weights(tmp_path, create, dtype):
    state = save_random(create(**TINY, img_size=28), tmp_path / "weights.pt")
    model = create(**TINY, weights=tmp_path / "weights.pt", img_size=28, dtype=dtype)
    assert not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name].to(dtype)), name


def test_create_with_weights_of_another_model(tmp_path):
    save_random(create_masked_image_model(**TINY, img_size=28), tmp_path / "weights.pt")
    with pytest.raises(InputError, match="does not fit the model"):
        create_classifier(**TINY, weights=tmp_path / "weights.pt", img_size=28)
    model = create_classifier(**TINY, weights=tmp_path / "weights.pt", img_size=28, strict=False)
    assert model.head.weight.std().item() == pytest.approx(2e-5, rel=0.1)


def test_models_need_no_detectron2():
    code = (
        "import sys; sys.modules['detectron2'] = sys.modules['open_clip'] = None\n"
        "import eva_classification as c\n"
        "model = c.create_classifier('eva_tiny_patch14', num_classes=3, img_size=28)\n"
        "c.create_masked_image_model('eva_tiny_patch14', img_size=28)\n"
        "assert not [m for m in sys.modules if m.startswith('detectron2_ext')]\n"
        "import eva_engine.checkpoint\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
