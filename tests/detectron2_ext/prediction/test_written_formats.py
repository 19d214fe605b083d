"""The options of predict about the written files, with a tiny detector."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detectron2_ext.prediction import DetectionFileTask, DetectionPredictor
from eva_backbone.errors import InputError
from eva_engine.prediction import list_inputs, predict_files
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.video import VideoWriter


def files_of(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_formats_of_a_run(tiny_detector, image, tmp_path):
    (tmp_path / "in").mkdir()
    for name, pixels in {"a": image, "b": image[::-1]}.items():
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / f"in/{name}.png")
    predictor = DetectionPredictor.from_config(
        tiny_detector.cfg, tiny_detector.weights, "cpu", score_threshold=0.0, max_detections=4
    )
    task = DetectionFileTask(predictor, save_as=["coco", "csv", "coco"], no_images=True)
    done = predict_files(task, list_inputs([tmp_path / "in"], tmp_path / "out").inputs, tmp_path / "out")
    assert done.failures == []
    assert files_of(tmp_path / "out") == {"a.json", "b.json", "coco.json", "detections.csv"}
    document = json.loads((tmp_path / "out/coco.json").read_text())
    assert [annotation["image_id"] for annotation in document["annotations"]] == [1] * 4 + [2] * 4
    plain = json.loads((tmp_path / "out/a.json").read_text())["detections"]
    for annotation, detection in zip(document["annotations"], plain, strict=False):
        assert annotation["segmentation"] == detection["segmentation"]
        assert annotation["bbox"] == detection["bbox"]
    assert len((tmp_path / "out/detections.csv").read_text().splitlines()) == 9


def test_no_drawn_video(tiny_detector, image, tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 100, 74, Fraction(10), Fraction(1, 10)) as writer:
        writer.write(image[:74], 0)
    predictor = DetectionPredictor.from_config(tiny_detector.cfg, tiny_detector.weights, "cpu")
    task = DetectionFileTask(predictor, no_images=True)
    done = predict_files(task, list_inputs([tmp_path / "a.mp4"], tmp_path / "out").inputs, tmp_path / "out")
    assert done.counts["frames"] == 1
    assert files_of(tmp_path / "out") == {"a.json"}


def test_crops_need_no_drawn_images(tiny_detector, image, tmp_path):
    Image.fromarray(image).save(tmp_path / "a.png")
    predictor = DetectionPredictor.from_config(
        tiny_detector.cfg, tiny_detector.weights, "cpu", score_threshold=0.0, max_detections=2
    )
    task = DetectionFileTask(predictor, save_as=["crops"], no_images=True)
    done = predict_files(task, list_inputs([tmp_path / "a.png"], tmp_path / "out").inputs, tmp_path / "out")
    assert done.failures == []
    assert len([name for name in files_of(tmp_path / "out") if name.startswith("crops/")]) == 2
    assert not (tmp_path / "out/a.jpg").exists()


@pytest.mark.parametrize(
    ("name", "stem"),
    [("coco", "COCO"), ("coco-polygons", "coco_polygons"), ("labelme", "labelme/a"), ("crops", "crops/cat/a_1")],
)
def test_inputs_whose_results_would_overwrite_those_of_a_format(tiny_detector, tmp_path, name, stem):
    predictor = DetectionPredictor.from_config(tiny_detector.cfg, tiny_detector.weights, "cpu")
    inputs = [Input(tmp_path / "a.jpg", "image", "a"), Input(tmp_path / f"{stem}.jpg", "image", stem)]
    with pytest.raises(InputError, match=f"{stem}.jpg: its results .* --save-as {name}"):
        predict_files(DetectionFileTask(predictor, save_as=[name]), inputs, tmp_path / "out")
    assert files_of(tmp_path / "out") == set()


@pytest.mark.parametrize(
    ("options", "flag"), [({"max_frames": 2}, "--max-frames"), ({"frame_stride": 3}, "--frame-stride")]
)
def test_options_for_videos_are_refused_without_one(tiny_detector, tmp_path, options, flag):
    predictor = DetectionPredictor.from_config(tiny_detector.cfg, tiny_detector.weights, "cpu")
    inputs = [Input(tmp_path / "a.jpg", "image", "a")]
    with pytest.raises(InputError, match=f"{flag}: for videos, but there is none among the inputs"):
        predict_files(DetectionFileTask(predictor, **options), inputs, tmp_path / "out")
    assert files_of(tmp_path / "out") == set()


@pytest.fixture
def clip(image, tmp_path) -> Path:
    """Two frames of a video in the folder `in`, next to an image."""
    (tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in/photo.png")
    with VideoWriter(tmp_path / "in/clip.mp4", 100, 74, Fraction(10), Fraction(1, 10)) as writer:
        writer.write(image[:74], 0)
        writer.write(np.ascontiguousarray(image[:74, ::-1]), 1)
    return tmp_path / "in"


def test_formats_of_the_frames_of_a_video(tiny_detector, clip, tmp_path):
    predictor = DetectionPredictor.from_config(
        tiny_detector.cfg, tiny_detector.weights, "cpu", score_threshold=0.0, max_detections=4
    )
    task = DetectionFileTask(predictor, save_as=["coco", "coco-polygons", "csv", "yolo", "crops"], no_images=True)
    done = predict_files(task, list_inputs([clip], tmp_path / "out").inputs, tmp_path / "out")
    assert done.failures == []
    frames = tmp_path / "out/clip_frames"
    written = {name for name in files_of(frames) if not name.startswith("crops/")}
    assert written == {
        "coco.json",
        "coco_polygons.json",
        "detections.csv",
        "yolo/data.yaml",
        "yolo/labels/000000.txt",
        "yolo/labels/000001.txt",
    }
    assert [path.name for path in frames.glob("crops/*/000001_1.jpg")] == ["000001_1.jpg"]
    record = json.loads((tmp_path / "out/clip.json").read_text())["frames"]
    found = [detection for frame in record for detection in frame["detections"]]
    document = json.loads((frames / "coco.json").read_text())
    names = [image["file_name"] for image in document["images"]]
    assert names == ["clip_frames/000000.jpg", "clip_frames/000001.jpg"]
    assert [annotation["image_id"] for annotation in document["annotations"]] == [1] * 4 + [2] * 4
    for annotation, detection in zip(document["annotations"], found, strict=True):
        assert (annotation["bbox"], annotation["score"]) == (detection["bbox"], detection["score"])
    rows = (frames / "detections.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == [name for name in names for _ in range(4)]
    # Those of the image are where they were.
    images = json.loads((tmp_path / "out/coco.json").read_text())["images"]
    assert [image["file_name"] for image in images] == ["photo.png"]


def test_labelme_has_no_files_for_frames(tiny_detector, clip, tmp_path):
    predictor = DetectionPredictor.from_config(tiny_detector.cfg, tiny_detector.weights, "cpu")
    inputs = list_inputs([clip], tmp_path / "out").inputs
    with pytest.raises(InputError, match=r"clip\.mp4: files of LabelMe belong to image files"):
        predict_files(DetectionFileTask(predictor, save_as=["labelme"]), inputs, tmp_path / "out")
    assert files_of(tmp_path / "out") == set()


def test_images_that_would_overwrite_a_format_of_frames(tiny_detector, tmp_path):
    predictor = DetectionPredictor.from_config(tiny_detector.cfg, tiny_detector.weights, "cpu")
    stem = "Clip_frames/coco"
    inputs = [Input(tmp_path / "clip.mp4", "video", "clip"), Input(tmp_path / f"{stem}.jpg", "image", stem)]
    with pytest.raises(InputError, match=r"Clip_frames/coco\.jpg: its results .* --save-as coco"):
        predict_files(DetectionFileTask(predictor, save_as=["coco"]), inputs, tmp_path / "out")
