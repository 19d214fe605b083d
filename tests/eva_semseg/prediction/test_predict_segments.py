"""The command predict with a small model: images of any size, class indices and fractions, unreadable files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from PIL import Image
from tiny_semseg_recipe import tiny_recipe

from eva_backbone.errors import InputError
from eva_engine.commands import predict
from eva_engine.prediction import Categories
from eva_semseg.prediction import SegmentationPredictor
from eva_semseg.segmenter import Segmenter

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """Folder of a run with config.yaml and weights."""
    root = tmp_path_factory.mktemp("run")
    cfg = tiny_recipe(root)
    torch.manual_seed(0)
    torch.save({"model": instantiate(cfg.model).state_dict()}, root / "model.pth")
    LazyConfig.save(cfg, str(root / "config.yaml"))
    return root


def arguments(run_folder: Path, *inputs: Path, output: Path) -> list[str]:
    files = ["--config-file", str(run_folder / "config.yaml"), "--weights", str(run_folder / "model.pth")]
    return [*files, "--device", "cpu", "--output", str(output), "--input", *map(str, inputs)]


def test_images_of_any_size(run_folder, tmp_path) -> None:
    for name, size in (("wide.v2.png", (120, 40)), ("small.jpg", (7, 9))):
        Image.fromarray(np.full((*size[::-1], 3), 80, np.uint8)).save(tmp_path / name)
    assert (
        predict.main(arguments(run_folder, tmp_path / "wide.v2.png", tmp_path / "small.jpg", output=tmp_path / "out"))
        == 0
    )
    for stem, size in (("wide.v2", (120, 40)), ("small", (7, 9))):
        labels = Image.open(tmp_path / f"out/{stem}_labels.png")
        assert labels.size == size
        record = json.loads((tmp_path / f"out/{stem}.json").read_text())
        assert (record["width"], record["height"]) == size
        assert sum(row["fraction"] for row in record["classes"]) == pytest.approx(1, abs=1e-5)
        assert {row["name"] for row in record["classes"]} <= {"dark", "bright"}
        drawn = Image.open(tmp_path / f"out/{stem}.jpg")
        assert drawn.width > size[0]


def test_unreadable_files_are_reported_and_the_others_are_segmented(run_folder, tmp_path, capsys) -> None:
    (tmp_path / "bad.png").write_bytes(b"not an image")
    Image.new("RGB", (30, 20)).save(tmp_path / "good.png")
    status = predict.main(arguments(run_folder, tmp_path / "bad.png", tmp_path / "good.png", output=tmp_path / "out"))
    assert status == 1
    assert (tmp_path / "out/good_labels.png").is_file()
    printed = capsys.readouterr()
    assert "bad.png" in printed.err
    assert "images: 1, videos: 0, frames: 0, failed: 1" in printed.out


def test_an_image_that_needs_too_much_memory_is_reported_and_the_others_are_segmented(
    run_folder, tmp_path, capsys, monkeypatch
) -> None:
    def predict_labels(self: Segmenter, image: dict) -> torch.Tensor:
        return torch.empty(2**50) if image["width"] == 50 else original(self, image)

    original = Segmenter.predict_labels
    monkeypatch.setattr(Segmenter, "predict_labels", predict_labels)
    for width in (50, 30):
        Image.new("RGB", (width, 20)).save(tmp_path / f"{width}.png")
    inputs = [tmp_path / "50.png", tmp_path / "30.png"]
    assert predict.main(arguments(run_folder, *inputs, output=tmp_path / "out")) == 1
    assert (tmp_path / "out/30_labels.png").is_file()
    printed = capsys.readouterr()
    assert "50.png: there is not enough memory" in printed.err
    assert "images: 1, videos: 0, frames: 0, failed: 1" in printed.out


def test_a_diverged_model_draws_no_maps(run_folder, tmp_path, capsys) -> None:
    weights = torch.load(run_folder / "model.pth")
    weights["model"]["decode_head.cls_embed.bias"].fill_(float("nan"))
    torch.save(weights, tmp_path / "diverged.pth")
    Image.new("RGB", (30, 20)).save(tmp_path / "good.png")
    given = arguments(run_folder, tmp_path / "good.png", output=tmp_path / "out")
    assert predict.main([*given, "--weights", str(tmp_path / "diverged.pth")]) == 1
    assert not list((tmp_path / "out").glob("good*"))
    assert "good.png: the model produced non-finite scores" in capsys.readouterr().err


def test_class_names_are_checked_before_weights_are_read(run_folder) -> None:
    cfg = LazyConfig.load(str(run_folder / "config.yaml"))
    with pytest.raises(InputError, match="has 3 class names, but the model has 2"):
        SegmentationPredictor.from_config(
            cfg, run_folder / "no such file.pth", "cpu", class_names=Categories(("a", "b", "c"), (0, 1, 2))
        )


def test_a_damaged_video_is_reported_as_a_failure(run_folder, tmp_path, capsys) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"any")
    assert predict.main(arguments(run_folder, tmp_path / "clip.mp4", output=tmp_path / "out")) == 1
    assert "clip.mp4: not a readable video" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_weights_in_bfloat16(run_folder, tmp_path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)).save(tmp_path / "noise.png")
    labels = {}
    for dtype in ("float32", "bfloat16"):
        options = arguments(run_folder, tmp_path / "noise.png", output=tmp_path / dtype)
        assert predict.main([*options, "--dtype", dtype]) == 0
        labels[dtype] = np.asarray(Image.open(tmp_path / dtype / "noise_labels.png"))
    assert (labels["bfloat16"] == labels["float32"]).mean() > 0.95


def test_without_coloured_images(run_folder, tmp_path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    options = [*arguments(run_folder, tmp_path / "a.png", output=tmp_path / "out"), "--no-images"]
    assert predict.main(options) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a_labels.png", "a.json"}
