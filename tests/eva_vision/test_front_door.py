"""Models are loaded by one call, and predict the same as the command and the evaluation."""

import json
import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import eva_vision
from eva_backbone.errors import InputError
from eva_classification.data.image_dataset import ImageDataset
from eva_engine.commands import predict
from eva_engine.config.instantiation import instantiate
from eva_engine.prediction import load_predictor

HEAVY = ("torch", "numpy", "PIL", "detectron2", "timm")


def test_nothing_heavy_is_imported():
    code = f"import sys, eva_vision; print([name for name in {HEAVY} if name in sys.modules]); eva_vision.load"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "[]\n"


def test_three_lines(detector, photos, tmp_path):
    results = detector.model.predict(str(photos / "a.png"))
    assert len(results) == 1
    assert results[0].path == str(photos / "a.png")
    results[0].plot().save(tmp_path / "out.png")
    drawn = np.asarray(Image.open(tmp_path / "out.png"))
    assert drawn.shape == (75, 100, 3)
    assert (drawn != np.asarray(Image.open(photos / "a.png"))).any()


def test_what_a_model_says_about_itself(detector, classifier):
    assert (detector.model.task, classifier.model.task) == ("detection", "classification")
    assert detector.model.recipe == detector.recipe
    assert detector.model.names[:2] == ("person", "bicycle")
    assert len(classifier.model.names) == 1000
    assert repr(detector.model).startswith("Model(detection, 80 classes, ")


def test_detections_are_those_of_the_command_and_of_the_evaluation(detector, photos, tmp_path):
    (result,) = detector.model.predict(photos / "a.png")
    arguments = ["--input", str(photos / "a.png"), "--output", str(tmp_path / "out"), "--score-threshold", "0"]
    assert predict.main([*detector.arguments, *arguments]) == 0
    assert json.loads((tmp_path / "out/a.json").read_text()) == result.to_dict()

    mapper = instantiate(detector.cfg.dataloader.test.mapper)
    record = mapper({"file_name": str(photos / "a.png"), "image_id": 1, "height": 75, "width": 100})
    with torch.inference_mode():
        expected = detector.model.predictor.model([record])[0]["instances"]
    assert len(result) == len(expected) == 12
    np.testing.assert_allclose(result.scores, expected.scores.numpy(), rtol=0, atol=1e-6)
    np.testing.assert_allclose(result.boxes, expected.pred_boxes.tensor.numpy(), rtol=0, atol=1e-3)
    np.testing.assert_array_equal(result.class_ids, expected.pred_classes.numpy())
    np.testing.assert_array_equal(result.masks, expected.pred_masks.numpy())


def test_classes_are_those_of_the_command_and_of_the_evaluation(classifier, photos, tmp_path):
    results = classifier.model.predict(photos)
    assert predict.main([*classifier.arguments, "--input", str(photos), "--output", str(tmp_path / "out")]) == 0
    lines = (tmp_path / "out/classes.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [result.to_dict() for result in results]

    mapper = instantiate(classifier.cfg.dataloader.test.mapper)
    for record, result in zip(ImageDataset(str(photos), split=None, has_labels=False), results, strict=True):
        assert record["file_name"] == result.path
        image = torch.as_tensor(mapper(record)["image"])
        with torch.inference_mode():
            expected = classifier.model.predictor.model(image[None]).softmax(1)[0]
        np.testing.assert_allclose(result.probabilities, expected.numpy(), rtol=1e-5, atol=1e-7)
        assert result.class_ids.tolist() == expected.topk(5).indices.tolist()


def test_label_maps_are_those_of_the_command(segmenter, photos, tmp_path):
    (result,) = segmenter.model.predict(photos / "a.png")
    output = tmp_path / "out"
    assert predict.main([*segmenter.arguments, "--input", str(photos / "a.png"), "--output", str(output)]) == 0
    np.testing.assert_array_equal(np.asarray(Image.open(output / "a_labels.png")), result.labels)
    assert len(np.unique(result.labels)) > 1


def test_classes_of_videos_are_those_of_the_command(video_classifier, video, tmp_path):
    (result,) = video_classifier.model.predict(video)
    arguments = ["--input", str(video), "--output", str(tmp_path / "out"), "--top", "3"]
    assert predict.main([*video_classifier.arguments, *arguments]) == 0
    (line,) = (tmp_path / "out/classes.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record.pop("filmstrip") == str(tmp_path / "out/clip.png")
    assert record == result.to_dict()


def test_scores_of_texts_are_those_of_the_command(clip, photos, tmp_path):
    labels = ["a cat", "two dogs", "noise"]
    results = clip.predict(photos, labels=labels)
    _, weights, _ = clip._loaded
    arguments = ["--weights", weights, "--config-file", clip.recipe, "--device", "cpu", "--labels", *labels]
    assert predict.main([*arguments, "--input", str(photos), "--output", str(tmp_path / "out")]) == 0
    lines = (tmp_path / "out/scores.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [result.to_dict() for result in results]


@pytest.mark.parametrize("name", ["slice", "slice_size"])
def test_the_batch_size_is_also_that_of_slices(detector, photos, name, monkeypatch):
    keywords = {"config_file": detector.recipe, "overrides": detector.overrides, "device": "cpu"}
    model = eva_vision.load(detector.weights, **{name: 48}, **keywords)
    sizes = []
    inference = model.predictor.model.inference

    def count(batch, *args, **kwargs):
        sizes.append(len(batch))
        return inference(batch, *args, **kwargs)

    monkeypatch.setattr(model.predictor.model, "inference", count)
    model.predict(photos / "a.png")
    one_by_one, sizes[:] = list(sizes), []
    model.predict(photos / "a.png", batch_size=3)
    assert set(one_by_one) == {1}
    assert max(sizes) == 3
    assert sum(sizes) == len(one_by_one) > 3


def test_options_of_a_call_do_not_outlast_it(detector, photos):
    model = detector.model
    (every,) = model.predict(photos / "a.png")
    (few,) = model.predict(photos / "a.png", max_detections=3)
    np.testing.assert_array_equal(few.scores, every.scores[:3])
    threshold = float(every.scores[4])
    (good,) = model.predict(photos / "a.png", score_threshold=threshold)
    np.testing.assert_array_equal(good.scores, every.scores[:5])
    assert good.score_threshold == threshold
    (again,) = model.predict(photos / "a.png")
    np.testing.assert_array_equal(again.scores, every.scores)


def test_two_streams_with_other_options_do_not_disturb_each_other(detector, photos):
    paths = [photos / "a.png", photos / "b.png"]
    few = detector.model.predict(paths, stream=True, max_detections=2)
    every = detector.model.predict(paths, stream=True)
    lengths = [(len(first), len(second)) for first, second in zip(few, every, strict=True)]
    assert lengths == [(2, 12), (2, 12)]


def test_a_limit_is_in_the_result_and_logged_once(detector, photos, caplog):
    with caplog.at_level(logging.WARNING, "eva_vision"):
        results = detector.model.predict([photos / "a.png", photos / "b.png"], max_detections=4)
    limits = [limit for result in results for limit in result.reached_limits if "4 detections" in limit]
    assert len(limits) == 2
    assert "--max-detections" in limits[0]
    assert sum("4 detections" in message for message in caplog.messages) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_threshold": 7}, "score_threshold=7 is not a number from 0 to 1"),
        ({"max_detections": 2.5}, "max_detections=2.5 is not a positive number"),
        ({"labels": ["a", "b"]}, "labels is not an option of predict of a model for detection, which accepts score_th"),
        ({"batch_size": 0}, "batch_size=0 is not a positive number"),
        ({"batch_size": 1.5}, "batch_size=1.5 is not a positive number"),
        ({"batch_size": True}, "batch_size=True is not a positive number"),
        ({"frame_stride": True}, "frame_stride=True is not a positive number"),
        ({"max_frames": np.True_}, r"max_frames=.*True.* is not a positive number"),
        ({"max_detections": True}, "max_detections=True is not a positive number"),
        ({"score_threshold": False}, "score_threshold=False is not a number from 0 to 1"),
    ],
)
def test_options_that_cannot_be_used(detector, photos, options, message):
    with pytest.raises(InputError, match=message):
        detector.model.predict(photos / "a.png", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lables": ["a"]}, "lables is not an option of a model for classification, which accepts class_names"),
        ({"top": 0}, "top=0 is not a positive number"),
        ({"top": True}, "top=True is not a positive number"),
        ({"device": "fridge"}, "device 'fridge' cannot be used"),
        ({"class_names": ["cat", "dog"]}, "2"),
        ({"overrides": ["model.depht=3"]}, "depht"),
    ],
)
def test_models_that_cannot_be_loaded(classifier, options, message):
    keywords = {"config_file": classifier.recipe, "overrides": classifier.overrides, **options}
    with pytest.raises(InputError, match=message):
        eva_vision.load(classifier.weights, **keywords)


@pytest.mark.parametrize("number", [3.0, np.int64(3)])
def test_whole_numbers_of_another_type_are_those_of_the_command(detector, photos, number):
    (result,) = detector.model.predict(photos / "a.png", max_detections=number, batch_size=number)
    assert len(result) == 3


@pytest.mark.parametrize("scales", [[1, 1.5], (1.0, 1.5), np.array([1, 1.5]).tolist()])
def test_scales_of_views(detector, scales):
    keywords = {"config_file": detector.recipe, "overrides": detector.overrides, "device": "cpu"}
    model = eva_vision.load(detector.weights, tta_scales=scales, **keywords)
    assert model.predictor.augmentation.scales == (1, 1.5)


@pytest.mark.parametrize("scales", [1.5, "1,1.5", [], [0], ["1", "1.5"], [[1, 1.5]], [True, 1.5]])
def test_scales_that_cannot_be_used(detector, scales):
    with pytest.raises(InputError, match="is not a list of positive numbers"):
        eva_vision.load(
            detector.weights, tta_scales=scales, config_file=detector.recipe, overrides=detector.overrides, device="cpu"
        )


def test_slices_that_would_be_too_many(detector, segmenter, photos, capsys):
    for tiny in (detector, segmenter):
        with pytest.raises(InputError, match="of 1 pixels are too small; give a side of at least 32 pixels"):
            eva_vision.load(tiny.weights, config_file=tiny.recipe, overrides=tiny.overrides, slice_size=1)
        assert predict.main([*tiny.arguments, "--input", str(photos / "a.png"), "--slice", "1"]) == 2
        assert "of 1 pixels are too small; give a side of at least 32 pixels" in capsys.readouterr().err
    smallest = {"config_file": detector.recipe, "overrides": detector.overrides, "device": "cpu", "slice_size": 32}
    assert eva_vision.load(detector.weights, **smallest).predictor.slices.size == 32


def test_one_change_to_the_recipe_can_be_a_text(classifier):
    with pytest.raises(InputError, match="depht"):
        eva_vision.load(classifier.weights, config_file=classifier.recipe, overrides="model.depht=3")


def test_names_can_be_a_list(classifier, photos):
    names = [f"kind {number}" for number in range(1000)]
    keywords = {
        "config_file": classifier.recipe,
        "overrides": [*classifier.overrides, "dataloader.test.dataset.class_map=null"],
    }
    model = eva_vision.load(classifier.weights, class_names=names, top=2, device="cpu", **keywords)
    (result,) = model.predict(photos / "a.png")
    assert [record["name"] for record in result.records()] == [names[index] for index in result.class_ids]
    assert len(result) == 2


def test_a_missing_package_is_named(classifier, monkeypatch):
    def import_open_clip(*_):
        raise ModuleNotFoundError("No module named 'open_clip'", name="open_clip")

    monkeypatch.setattr(load_predictor, "load_recipe", import_open_clip)
    with pytest.raises(InputError, match="needs the package open_clip, which is not installed"):
        eva_vision.load(classifier.weights)


def test_known_warnings_of_other_packages_are_not_shown(detector, photos):
    code = f"import eva_vision; model = eva_vision.load({str(detector.weights)!r}, config_file={detector.recipe!r}, "
    code += (
        f"overrides={detector.overrides!r}, device='cpu', score_threshold=1); model.predict({str(photos / 'a.png')!r})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert ended.stdout == ""
    shown = [line for line in ended.stderr.splitlines() if "pkg_resources" not in line and "limit reached" not in line]
    assert shown == []


@pytest.mark.parametrize("weights", [None, "", 7])
def test_weights_that_are_nothing_are_one_sentence(weights):
    with pytest.raises(InputError, match="give the name of published weights, the output folder of a run, or a weight"):
        eva_vision.load(weights)
