"""Exports of a tiny EVA-CLIP: both towers, features, labels, the runner, and the evaluation's batches."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_exports import TinyModel, export, tiny_model, write_photos

import eva_vision
from eva_backbone.errors import InputError

RECIPE = """
from detectron2.config import LazyCall as L
from omegaconf import OmegaConf
from eva_clip import build_model
model = L(build_model)(
    name="eva_clip_g14",
    output_dim=8,
    visual=dict(img_size=28, embed_dim=16, depth=1, num_heads=2),
    text=dict(width=16, num_heads=2, num_layers=1, context_length=20),
)
dataloader = OmegaConf.create()
optimizer = lr_multiplier = OmegaConf.create()
train = OmegaConf.create()
"""
LABELS = ["a red square", "a photo of two dogs in the snow", "sky"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    folder = tmp_path_factory.mktemp("clip")
    (folder / "recipe.py").write_text(RECIPE)
    return tiny_model(folder, str(folder / "recipe.py"), ())


@pytest.fixture(scope="module")
def onnx_file(tiny: TinyModel, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    exported = export(tiny, tmp_path_factory.mktemp("onnx"), "onnx", photos, with_example=True)
    assert [file.name for file in exported.files] == ["image_tower.onnx", "text_tower.onnx", "run_model.py"]
    assert not exported.parity.excesses
    assert max(exported.parity.agreement.differences.values()) < 1e-5
    return exported.files[0]


@pytest.fixture(scope="module")
def original(tiny: TinyModel) -> eva_vision.Model:
    return eva_vision.load(tiny.weights, config_file=tiny.recipe, device="cpu")


@pytest.mark.parametrize("name", ["image_tower.onnx", "text_tower.onnx"])
def test_either_file_stands_for_the_model(original, photos, onnx_file, name):
    model = eva_vision.load(onnx_file.with_name(name), device="cpu")
    expected = original.predict(photos, labels=LABELS)
    found = model.predict(photos, labels=LABELS)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.class_ids, other.class_ids)
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        np.testing.assert_allclose(one.similarities, other.similarities, atol=1e-5)
    np.testing.assert_allclose(model.embed(texts=LABELS).texts, original.embed(texts=LABELS).texts, atol=1e-5)


def test_batches_of_the_evaluation(original, onnx_file):
    model = eva_vision.load(onnx_file, device="cpu").predictor.model
    batch = {"image": torch.randn(3, 3, 28, 28), "text": torch.tensor([[1, 5, 9, 49407], [1, 49407, 0, 0]])}
    with torch.inference_mode():
        expected = original.predictor.model(batch)
    found = model(batch)
    assert found.keys() == expected.keys()
    for name, features in expected.items():
        torch.testing.assert_close(found[name], features, rtol=0, atol=1e-5)


@pytest.mark.parametrize("format_name", ["openvino", "torch"])
def test_other_formats(tiny, photos, format_name, tmp_path):
    exported = export(tiny, tmp_path, format_name, photos)
    assert not exported.parity.excesses
    assert max(exported.parity.agreement.differences.values()) < 1e-5


def test_the_runner_needs_no_torch(original, photos, onnx_file):
    program = (
        "import sys, runpy; sys.modules['torch'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    files = sorted(map(str, photos.iterdir()))
    towers = [str(onnx_file.with_name(f"{name}_tower.onnx")) for name in ("image", "text")]
    command = [sys.executable, "-c", program, str(onnx_file.with_name("run_model.py")), *towers, *files]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    from eva_clip.export import _TEXTS

    images, texts = original.embed(images=photos), original.embed(texts=list(_TEXTS))
    best = (images.images @ texts.texts.T).argmax(1)
    for line, file, index in zip(run.stdout.splitlines(), files, best, strict=True):
        assert line.startswith(f"{file}: {_TEXTS[index]!r} ")


def test_a_missing_tower(onnx_file, tmp_path):
    (tmp_path / "image_tower.onnx").write_bytes(onnx_file.read_bytes())
    with pytest.raises(InputError, match=r"the file text_tower\.onnx is missing next to image_tower\.onnx"):
        eva_vision.load(tmp_path / "image_tower.onnx")
