"""The command predicts on the frames of a video what Python does, for every task of images."""

import json
from pathlib import Path

import av
import pytest

from eva_engine.commands.verbs import main

KEYS = {"detector": "detections", "classifier": "classes", "segmenter": "classes", "clip": "labels"}
LABELS = ["a cat", "a dog"]


def document(written: Path, text: str = "clip.json") -> dict:
    return json.loads((written / text).read_text())


@pytest.mark.parametrize("name", KEYS)
def test_frames_are_those_of_python(name, request, video, tmp_path):
    tiny = request.getfixturevalue(name)
    options = {"labels": LABELS} if name == "clip" else {}
    model = tiny if name == "clip" else tiny.model
    if name == "clip":
        recipe, weights = model._loaded[0].path, model._loaded[1]
        arguments = ["--config-file", str(recipe), "--weights", str(weights), "--device", "cpu", "--labels", *LABELS]
    else:
        arguments = tiny.arguments
    if name == "detector":
        arguments = [*arguments, "--score-threshold", "0"]
    expected = []
    for result in model.predict(video, frame_stride=2, max_frames=2, batch_size=1, **options):
        expected.append({"frame": result.frame, "time": round(result.time, 6), KEYS[name]: result.records()})
    strided = ["--frame-stride", "2", "--max-frames", "2", "--batch-size", "1"]
    assert main(["predict", *arguments, *strided, "--input", str(video), "--output", str(tmp_path / "out")]) == 0
    found = document(tmp_path / "out")
    assert found["frames"] == expected
    assert [frame["frame"] for frame in expected] == [0, 2]
    assert (found["video"], found["width"], found["height"]) == (str(video), 64, 48)
    assert (found["num_frames"], found["complete"], found["problem"]) == (2, True, None)
    # One line per frame, so that long videos can be read without parsing the whole document.
    assert len((tmp_path / "out/clip.json").read_text().splitlines()) == 4


def test_a_segmented_video_is_coloured_unless_nothing_is_drawn(segmenter, video, tmp_path):
    options = ["predict", *segmenter.arguments, "--input", str(video), "--output"]
    assert main([*options, str(tmp_path / "a")]) == 0
    with av.open(str(tmp_path / "a/clip.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 5
    assert frames[0].max() > 60  # the frame itself is black
    assert main([*options, str(tmp_path / "b"), "--no-images"]) == 0
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["clip.json"]


def test_images_and_videos_in_one_run(classifier, photos, video, tmp_path, capsys):
    inputs = ["--input", str(photos), str(video), "--output", str(tmp_path / "out")]
    assert main(["predict", *classifier.arguments, *inputs]) == 0
    assert "images: 2, videos: 1, frames: 5, failed: 0" in capsys.readouterr().out
    assert len((tmp_path / "out/classes.jsonl").read_text().splitlines()) == 2
    assert document(tmp_path / "out")["num_frames"] == 5


def test_options_for_videos_are_refused_without_one(classifier, photos, tmp_path, capsys):
    arguments = ["--max-frames", "2", "--input", str(photos), "--output", str(tmp_path / "out")]
    assert main(["predict", *classifier.arguments, *arguments]) == 2
    assert "--max-frames: for videos, but there is none among the inputs; leave it out" in capsys.readouterr().err
