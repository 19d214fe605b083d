"""Exports of tiny segmentation models: windows of a fixed and of any size, the runner, and the evaluation."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_exports import TinyModel, export, tiny_model, write_photos

import eva_vision
from eva_backbone.errors import InputError

DEMOS = "projects/SemSeg/configs/demo"
VIEWS = "dataloader.test.mapper.views"
SIZES = (
    *("model.backbone.img_size=64", "model.backbone.embed_dim=16", "model.backbone.num_heads=2"),
    *("model.inference.windows.size=[64,64]", "model.inference.windows.stride=[48,48]"),
    *(f"{VIEWS}.long_side=110", f"{VIEWS}.short_side=90"),
)
# Blocks of half the depth; the maps are taken after each of them.
UPERNET = (
    *SIZES,
    "model.backbone.depth=4",
    "model.backbone.out_indices=[0,1,2,3]",
    "model.decode_head.channels=16",
    "model.auxiliary_head.channels=8",
)
MASK2FORMER = (
    *(*SIZES, "model.backbone.depth=4", "model.decode_head.num_queries=4", "model.decode_head.dim=32"),
    *("model.decode_head.decoder_layers=1", "model.decode_head.encoder_layers=1"),
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def upernet(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return tiny_model(tmp_path_factory.mktemp("upernet"), f"{DEMOS}/upernet_eva02_tiny_microscope.py", UPERNET)


@pytest.fixture(scope="module")
def mask2former(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return tiny_model(
        tmp_path_factory.mktemp("mask2former"), f"{DEMOS}/mask2former_eva_tiny_microscope.py", MASK2FORMER
    )


@pytest.fixture(scope="module")
def onnx_file(upernet: TinyModel, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    exported = export(upernet, tmp_path_factory.mktemp("onnx"), "onnx", photos, with_example=True)
    assert not exported.parity.excesses
    assert exported.parity.agreement.differences["probability"] < 1e-3
    return exported.files[0]


def load(tiny: TinyModel) -> eva_vision.Model:
    return eva_vision.load(tiny.weights, config_file=tiny.recipe, overrides=tiny.overrides, device="cpu")


@pytest.mark.parametrize("format_name", ["openvino", "torch"])
def test_upernet_in_other_formats(upernet, photos, format_name, tmp_path):
    exported = export(upernet, tmp_path, format_name, photos)
    assert not exported.parity.excesses
    assert exported.parity.agreement.matched > 0.999


@pytest.mark.parametrize("format_name", ["onnx", "openvino", "torch"])
def test_mask2former(mask2former, photos, format_name, tmp_path):
    exported = export(mask2former, tmp_path, format_name, photos)
    assert not exported.parity.excesses
    assert exported.parity.agreement.matched > 0.999


def test_labels_and_probabilities_are_those_of_the_original(upernet, photos, onnx_file):
    original, model = load(upernet), eva_vision.load(onnx_file, device="cpu")
    for found, expected in zip(model.predict(photos), original.predict(photos), strict=True):
        assert (found.labels == expected.labels).mean() > 0.999
        assert len(np.unique(expected.labels)) > 1
    image = {"pixels": torch.full((3, 96, 64), 90, dtype=torch.uint8), "content": (96, 60), "flipped": False}
    batch = [{"views": [image], "height": 80, "width": 50}]  # of the evaluation
    with torch.inference_mode():
        (expected,) = original.predictor.model(batch)
    torch.testing.assert_close(model.predictor.model(batch)[0]["sem_seg"], expected["sem_seg"], rtol=0, atol=1e-3)


def test_windows_can_be_smaller_but_not_larger_than_the_graph(photos, onnx_file):
    model = eva_vision.load(onnx_file, device="cpu", slice_size=32)
    assert len(model.predict(photos)) == 2
    with pytest.raises(InputError, match=r"takes windows of 64x64 pixels, this one has .*give --slice 64"):
        eva_vision.load(onnx_file, device="cpu", slice_size=96).predict(str(photos / "0.png"))


def test_any_size(upernet, photos, tmp_path):
    exported = export(upernet, tmp_path, "onnx", photos, dynamic_size=True)
    assert not exported.parity.excesses
    whole = ["model.inference.windows.size=null"]
    model = eva_vision.load(exported.files[0], device="cpu", overrides=whole)
    original = load(upernet._replace(overrides=(*upernet.overrides, *whole)))
    for found, expected in zip(model.predict(photos), original.predict(photos), strict=True):
        assert (found.labels == expected.labels).mean() > 0.999


def test_wrong_sizes(upernet, photos, tmp_path):
    with pytest.raises(InputError, match="--image-size 32 is smaller than the windows of the recipe, 64x64"):
        export(upernet, tmp_path, "torch", photos, image_size=32)
    with pytest.raises(InputError, match="windows of 70x70 pixels are not multiples of 32"):
        export(upernet, tmp_path, "torch", photos, image_size=70)
    whole = upernet._replace(overrides=(*upernet.overrides, "model.inference.windows.size=null"))
    with pytest.raises(InputError, match="predicts images of any size as a whole; give --image-size"):
        export(whole, tmp_path, "torch", photos)


def test_the_runner_needs_no_torch(upernet, photos, onnx_file, tmp_path):
    program = (
        "import sys, runpy; sys.modules['torch'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    arguments = [str(onnx_file.with_name("run_model.py")), str(onnx_file), str(photos / "0.png")]
    out = tmp_path / "classes.png"
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments, str(out)], capture_output=True, text=True, check=True
    )
    assert [line.partition(":")[0] for line in run.stdout.splitlines()] == ["background", "nucleus", "bacterium"]
    (expected,) = load(upernet).predict(str(photos / "0.png"))
    # Pillow, which the runner resizes with, rounds differently from OpenCV.
    assert (np.asarray(Image.open(out)) == expected.labels).mean() > 0.9
