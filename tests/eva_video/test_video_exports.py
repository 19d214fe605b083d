"""Exports of a tiny video classifier: the views of a video are averaged outside of the file."""

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_exports import SMALL, TinyModel, export, tiny_model

import eva_vision
from eva_engine.prediction.video import VideoWriter

CROPS = ("dataloader.test.mapper.transform.num_crops=3", "dataloader.test.mapper.frame_sampler.num_clips=2")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    recipe = "projects/Video/configs/kinetics400.py"
    return tiny_model(tmp_path_factory.mktemp("video"), recipe, (*SMALL, "model.num_frames=4"))


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    generator = np.random.default_rng(2)
    return [
        np.asarray(Image.fromarray(generator.integers(0, 255, (3, 4, 3), np.uint8)).resize((64, 48))) for _ in range(4)
    ]


@pytest.fixture(scope="module")
def video(frames: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    with VideoWriter(path, 64, 48, Fraction(10), Fraction(1, 1000)) as writer:
        for number, frame in enumerate(frames):
            writer.write(frame, 100 * number)
    return path


@pytest.mark.parametrize("format_name", ["onnx", "openvino", "torch"])
def test_a_file_computes_what_the_model_computes(tiny, video, format_name, tmp_path):
    exported = export(tiny, tmp_path, format_name, video)
    assert not exported.parity.excesses
    assert exported.parity.agreement.differences["probability"] < 1e-5


def test_several_views_and_batches(tiny, video, frames, tmp_path):
    several = tiny._replace(overrides=(*tiny.overrides, *CROPS))
    exported = export(several, tmp_path, "onnx", video, with_example=True)
    assert not exported.parity.excesses
    model = eva_vision.load(exported.files[0], device="cpu")
    original = eva_vision.load(tiny.weights, config_file=tiny.recipe, overrides=several.overrides, device="cpu")
    (found,), (expected,) = model.predict(video), original.predict(video)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    batch = {"video": torch.randn(3, 3, 4, 28, 28)}
    with torch.inference_mode():
        torch.testing.assert_close(model.predictor.model(batch), original.predictor.model(batch), rtol=0, atol=1e-4)

    # The runner takes one clip and one crop, of frames as images.
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{number}.png")
    program = "import sys, runpy; sys.modules['torch'] = None; sys.argv = sys.argv[1:]; "
    program += "runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", program, str(tmp_path / "run_model.py"), str(exported.files[0]), str(tmp_path)]
    line = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert line.startswith(f"{tmp_path}: ")
    assert line.count("%") == 5
