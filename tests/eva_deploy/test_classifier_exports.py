"""Exports of a tiny classifier: every format and precision, the verbs that take the files, and the runner."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_exports import TinyModel, export, tiny_classifier, write_photos

import eva_vision
from eva_backbone.errors import InputError
from eva_classification.export import ClassifierExport
from eva_deploy.formats.table import read_metadata
from eva_deploy.sample_images import find_images
from eva_engine.commands.verbs import main
from eva_engine.prediction import trained_model

FILES = {"onnx": "model.onnx", "openvino": "model.xml", "torch": "model.pt2"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return tiny_classifier(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), 3)


@pytest.fixture(scope="module")
def onnx_file(tiny: TinyModel, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    exported = export(tiny, tmp_path_factory.mktemp("onnx"), "onnx", photos, with_example=True)
    assert [file.name for file in exported.files] == ["model.onnx", "run_model.py"]
    return exported.files[0]


def probabilities(model: eva_vision.Model, photos: Path, **options) -> np.ndarray:
    return np.stack([result.probabilities for result in model.predict(photos, **options)])


def original_probabilities(tiny: TinyModel, photos: Path) -> np.ndarray:
    model = eva_vision.load(tiny.weights, config_file=tiny.recipe, overrides=tiny.overrides, device="cpu")
    return probabilities(model, photos)


@pytest.mark.parametrize("format_name", ["openvino", "torch"])
def test_a_file_computes_what_the_model_computes(tiny, photos, format_name, tmp_path):
    exported = export(tiny, tmp_path, format_name, photos)
    assert exported.parity.num_inputs == 3
    assert not exported.parity.excesses
    assert exported.parity.agreement.matched == 1
    assert exported.parity.agreement.differences["probability"] < 1e-4
    model = eva_vision.load(exported.files[0], trust_recipe=[str(exported.files[0])], device="cpu")
    np.testing.assert_allclose(probabilities(model, photos), original_probabilities(tiny, photos), atol=1e-5)


def test_a_task_without_an_example_is_refused_before_anything_is_written(tiny, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(ClassifierExport, "example", "")
    with pytest.raises(InputError, match="no example without PyTorch for classification"):
        export(tiny, tmp_path, "onnx", photos, with_example=True)
    assert not list(tmp_path.iterdir())


def test_an_onnx_file_takes_any_batch_and_builds_no_model(tiny, photos, onnx_file, monkeypatch):
    expected = original_probabilities(tiny, photos)
    monkeypatch.delattr(trained_model, "build_and_load")
    model = eva_vision.load(onnx_file, device="cpu")
    assert model.task == "classification"
    assert model.names[0] == "tench, Tinca tinca"
    for batch_size in (1, 2, 3):
        np.testing.assert_allclose(probabilities(model, photos, batch_size=batch_size), expected, atol=1e-5)
    assert not list(model.predictor.model.parameters())


@pytest.mark.parametrize(
    ("format_name", "dtype"),
    [
        ("onnx", "float16"),
        ("openvino", "float16"),
        ("openvino", "bfloat16"),
        ("torch", "float16"),
        ("torch", "bfloat16"),
    ],
)
def test_lower_precisions_are_close(tiny, photos, format_name, dtype, tmp_path):
    exported = export(tiny, tmp_path, format_name, photos, dtype=dtype)
    assert not exported.parity.excesses
    difference = exported.parity.agreement.differences["probability"]
    assert 0 <= difference < {"float16": 0.005, "bfloat16": 0.05}[dtype]


def test_a_compiled_program(tiny, photos, tmp_path):
    exported = export(tiny, tmp_path, "torch", photos, compiled=True)
    assert not exported.parity.excesses
    model = eva_vision.load(exported.files[0], trust_recipe=str(exported.files[0]), device="cpu")
    np.testing.assert_allclose(probabilities(model, photos), original_probabilities(tiny, photos), atol=1e-5)


def test_8_bits(tiny, photos, tmp_path):
    exported = export(tiny, tmp_path, "openvino", photos, calibration=(str(photos),))
    assert read_metadata(exported.files[0]).dtype == "int8"
    assert exported.parity.num_inputs == 3
    assert exported.parity.agreement.differences["probability"] < 0.2
    num_parameters = read_metadata(exported.files[0]).details["parameters"]
    assert exported.files[1].stat().st_size < 2 * num_parameters
    with pytest.raises(InputError, match="8 bits are offered for OpenVINO only"):
        export(tiny, tmp_path, "onnx", photos, calibration=(str(photos),))


def test_8_bits_are_compared_on_the_images_of_the_calibration(tiny, photos, tmp_path, capsys):
    arguments = ["--format", "openvino", "--int8", "--calibration", str(photos), "--output", str(tmp_path)]
    main(["export-model", *tiny.arguments, *arguments])
    # Of the photos in installed packages there are four.
    assert "compared with the original on 3 inputs:" in capsys.readouterr().out


def test_large_weights_are_in_a_second_file(tiny, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("eva_deploy.formats.onnx_format.MAX_INLINE_BYTES", 10_000)
    exported = export(tiny, tmp_path / "a", "onnx", photos)
    assert not exported.parity.excesses
    assert [file.name for file in exported.files] == ["model.onnx", "model.onnx.data"]
    (tmp_path / "a").rename(tmp_path / "b")
    eva_vision.load(tmp_path / "b/model.onnx")
    (tmp_path / "b/model.onnx.data").unlink()
    with pytest.raises(InputError, match="cannot be loaded by ONNX Runtime"):
        eva_vision.load(tmp_path / "b/model.onnx")


def test_a_fixed_batch_size_is_filled_up(tiny, photos, tmp_path):
    exported = export(tiny, tmp_path, "torch", photos, batch_size=2)
    model = eva_vision.load(exported.files[0], trust_recipe=str(exported.files[0]), device="cpu")
    found = probabilities(model, photos, batch_size=3)
    np.testing.assert_allclose(found, original_probabilities(tiny, photos), atol=1e-5)


def test_verbs_take_the_file(tiny, photos, onnx_file, tmp_path, capsys):
    assert main(["inspect", str(onnx_file)]) == 0
    described = capsys.readouterr().out
    assert "exported model for classification, onnx" in described
    assert "1000 classes" in described
    options = ["--input", str(photos), "--device", "cpu", "--top", "2"]
    assert main(["predict", "--weights", str(onnx_file), "--output", str(tmp_path / "a"), *options]) == 0
    assert main(["predict", *tiny.arguments, "--output", str(tmp_path / "b"), *options]) == 0
    rows = []
    for folder in ("a", "b"):
        lines = (tmp_path / folder / "classes.jsonl").read_text().splitlines()
        rows.append([json.loads(line) for line in lines])
    assert len(rows[0]) == 3
    for found, expected in zip(*rows, strict=True):
        assert [entry["class"] for entry in found["classes"]] == [entry["class"] for entry in expected["classes"]]


def test_the_runner_needs_no_torch(photos, onnx_file):
    expected = eva_vision.load(onnx_file, device="cpu", top=1).predict(photos)
    program = (
        "import sys, runpy; sys.modules['torch'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    files = sorted(map(str, photos.iterdir()))
    runner = str(onnx_file.with_name("run_model.py"))
    run = subprocess.run(
        [sys.executable, "-c", program, runner, str(onnx_file), *files], capture_output=True, text=True, check=True
    )
    lines = run.stdout.splitlines()
    assert len(lines) == 3
    for line, result in zip(lines, expected, strict=True):
        name = result.class_names[result.class_ids[0]]
        assert line.startswith(f"{result.path}: {name} {result.scores[0]:.1%}")


def test_the_command_exits_with_1_above_the_tolerance(tiny, photos, tmp_path, capsys, monkeypatch):
    from eva_classification.export import ClassifierExport

    monkeypatch.setattr(ClassifierExport, "tolerances", {"bfloat16": {"probability": 1e-9}})
    arguments = ["--format", "torch", "--dtype", "bfloat16", "--output", str(tmp_path), "--images", str(photos)]
    assert main(["export-model", *tiny.arguments, *arguments]) == 1
    out = capsys.readouterr().out
    assert "the exported model differs from the original: probability differs by" in out
    assert (tmp_path / "model.pt2").is_file()


def test_wrong_requests_are_one_sentence(tiny, photos, onnx_file, tmp_path):
    with pytest.raises(InputError, match="recipe transforms every image to 28 pixels"):
        export(tiny, tmp_path, "torch", photos, image_size=64)
    with pytest.raises(InputError, match="onnx has no bfloat16 on the CPU"):
        export(tiny, tmp_path, "onnx", photos, dtype="bfloat16")
    with pytest.raises(InputError, match="--aot compiles programs of PyTorch, not onnx"):
        export(tiny, tmp_path, "onnx", photos, compiled=True)
    with pytest.raises(InputError, match="there is no image in"):
        export(tiny, tmp_path, "torch", tmp_path)
    with pytest.raises(InputError, match=r"nowhere.*there is no such file.*; correct the path"):
        find_images([str(photos), str(tmp_path / "nowhere")], ("image",), 3)
    with pytest.raises(InputError, match="is an exported model already"):
        export(tiny._replace(weights=onnx_file), tmp_path, "onnx", photos)
    with pytest.raises(InputError, match="whose type is that of its export; leave --dtype bfloat16 out"):
        eva_vision.load(onnx_file, dtype="bfloat16")
    with pytest.raises(InputError, match="whose blocks cannot be compiled"):
        eva_vision.load(onnx_file, compile=True)
    with pytest.raises(InputError, match="gives no features of blocks; load the weights that it was exported from"):
        eva_vision.load(onnx_file, device="cpu").features(photos)


def test_the_original_is_not_changed_by_an_export_in_lower_precision(tiny, photos, tmp_path):
    before = original_probabilities(tiny, photos)
    export(tiny, tmp_path, "torch", photos, dtype="bfloat16")
    torch.testing.assert_close(original_probabilities(tiny, photos), before, rtol=0, atol=0)
