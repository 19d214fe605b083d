"""The command predict on a folder of intact and broken files, with a small version of the published recipe."""

import io
import json
from pathlib import Path

import av
import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from PIL import Image

from detectron2_ext.prediction import DetectionPredictor
from eva_engine.commands import predict as demo
from eva_engine.config import load_config
from eva_engine.data import read_rgb_image

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py"
OVERRIDES = (ROOT / "tests/data/tiny_cascade_mask_rcnn.txt").read_text().split()
PICTURE = np.random.default_rng(0).integers(0, 255, (3, 4, 3), np.uint8).repeat(30, axis=0).repeat(30, axis=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.save({"model": instantiate(load_config(str(RECIPE), OVERRIDES).model).state_dict()}, path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with all kinds of files in photos/."""
    photos = tmp_path / "photos"
    (photos / "sub").mkdir(parents=True)
    Image.fromarray(PICTURE).save(photos / "plain.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(PICTURE).save(photos / "plain.jpg", exif=exif)
    Image.fromarray(PICTURE).save(photos / "sub" / "deep.png")
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (99, 99, 3), np.uint8)).save(stream, "JPEG")
    (photos / "cut.jpg").write_bytes(stream.getvalue()[:2000])
    (photos / "empty.png").touch()
    (photos / "empty.mp4").touch()
    (photos / "noise.mp4").write_bytes(np.random.default_rng(2).bytes(9000))
    (photos / "notes.txt").write_text("no picture")
    with av.open(str(photos / "turned.mp4"), "w") as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 120, 90, "yuv420p"
        video.set_display_rotation(90)
        for _ in range(3):
            container.mux(video.encode(av.VideoFrame.from_ndarray(PICTURE, format="rgb24")))
        container.mux(video.encode(None))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(weights: Path, *extra: str) -> list[str]:
    return ["--config-file", str(RECIPE), "--weights", str(weights), *extra]


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_intact_files_are_processed_and_broken_ones_named(weights, folder, capsys):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    # Changes to the config directly after the inputs, as people write them.
    status = demo.main(
        command(weights, "--score-threshold", "0", "--output", "out", "--input", "photos", "missing.jpg", *OVERRIDES)
    )
    assert status == 1
    assert listing(folder / "out") == [
        "plain.jpg",
        "plain.json",
        "plain_2.jpg",
        "plain_2.json",
        "turned.json",
        "turned.mp4",
    ]
    assert {path: path.read_bytes() for path in before} == before
    printed = capsys.readouterr()
    summary = printed.out
    assert "images: 2, videos: 1, frames: 3, detections: 60, failed: 5, other files skipped: 1;" in summary
    for name in ["cut.jpg", "empty.png", "empty.mp4", "noise.mp4", "missing.jpg"]:
        assert any(line.startswith("failed: ") and name in line for line in printed.err.splitlines()), name

    # The file with the orientation tag comes first: plain.jpg, then plain.png.
    turned, upright = (json.loads((folder / "out" / name).read_text()) for name in ["plain.json", "plain_2.json"])
    assert (turned["width"], turned["height"]) == (90, 120)
    assert (upright["width"], upright["height"]) == (120, 90)
    assert upright["image"] == "photos/plain.png"
    assert read_rgb_image("out/plain.jpg").shape == (120, 90, 3)
    assert (read_rgb_image("out/plain_2.jpg") != PICTURE).any()


def test_records_are_the_detections_of_the_model(weights, folder):
    arguments = ["--input", "photos/plain.png", "--score-threshold", "0", "--output", "out"]
    assert demo.main(command(weights, *arguments, *OVERRIDES)) == 0
    predictor = DetectionPredictor.from_config(load_config(str(RECIPE), OVERRIDES), weights, "cpu", score_threshold=0.0)
    expected = predictor(PICTURE)
    document = json.loads((folder / "out/plain.json").read_text())
    assert document["score_threshold"] == 0.0
    assert document["box_format"].startswith("[x, y, width, height]")
    detections = document["detections"]
    assert len(detections) == len(expected) == 12
    boxes = expected.boxes.copy()
    boxes[:, 2:] -= boxes[:, :2]
    np.testing.assert_allclose([d["bbox"] for d in detections], boxes, atol=1e-3)
    np.testing.assert_allclose([d["score"] for d in detections], expected.scores, atol=1e-6)
    assert [d["category"] for d in detections] == [predictor.categories.names[i] for i in expected.class_ids]
    assert [d["category_id"] for d in detections] == [predictor.categories.ids[i] for i in expected.class_ids]
    assert max(d["category_id"] for d in detections) <= 90
    for detection, rle in zip(detections, expected.rles, strict=True):
        mask = mask_util.decode(detection["segmentation"])
        assert mask.shape == (90, 120)
        np.testing.assert_array_equal(mask, mask_util.decode(rle))


def test_weights_and_config_of_a_training_run(weights, folder):
    cfg = load_config(str(RECIPE), OVERRIDES)
    cfg.dataloader.categories = [{"id": 1000 + i, "name": f"kind {i}"} for i in range(80)]
    cfg.dataloader.test = cfg.dataloader.evaluator = None  # it was trained without validation data
    LazyConfig.save(cfg, str(folder / "config.yaml"))
    arguments = ["--input", "photos/plain.png", "--score-threshold", "0", "--output", "out"]
    assert demo.main(["--config-file", "config.yaml", "--weights", str(weights), *arguments]) == 0
    detections = json.loads((folder / "out/plain.json").read_text())["detections"]
    assert len(detections) == 12
    assert {d["category"] for d in detections} == {f"kind {d['category_id'] - 1000}" for d in detections}


def test_video_record_and_annotated_video(weights, folder):
    arguments = ["--input", "photos/turned.mp4", "--score-threshold", "0", "--max-frames", "2", "--device", "cpu"]
    assert demo.main(command(weights, *arguments, *OVERRIDES)) == 0
    assert listing(folder / "output") == ["predictions/turned.json", "predictions/turned.mp4"]
    text = (folder / "output/predictions/turned.json").read_text()
    document = json.loads(text)
    assert (document["width"], document["height"], document["num_frames"], document["complete"]) == (90, 120, 2, True)
    assert [frame["time"] for frame in document["frames"]] == [0.0, 0.1]
    # One line per frame, so that long videos can be read without parsing the whole document.
    lines = [json.loads(line.rstrip(",")) for line in text.splitlines()[1:-1]]
    assert lines == document["frames"]
    for frame in lines:
        assert len(frame["detections"]) == 12
        assert mask_util.decode(frame["detections"][0]["segmentation"]).shape == (120, 90)
    with av.open("output/predictions/turned.mp4") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.shape for frame in frames] == [(120, 90, 3)] * 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_stopped_video_keeps_its_frames(weights, folder, monkeypatch, error):
    calls = []
    predict = DetectionPredictor.predict

    def interrupted(self: DetectionPredictor, samples: list):
        calls.append(samples)
        if len(calls) == 3:
            raise error
        return predict(self, samples)

    monkeypatch.setattr(DetectionPredictor, "predict", interrupted)
    arguments = command(weights, "--input", "photos/turned.mp4", "--output", "out", *OVERRIDES)
    if error is KeyboardInterrupt:
        assert demo.main(arguments) == 130
    else:
        with pytest.raises(error):
            demo.main(arguments)
    document = json.loads((folder / "out/turned.json").read_text())
    assert (document["num_frames"], document["complete"], document["problem"]) == (
        2,
        False,
        f"stopped by {error.__name__}",
    )
    assert listing(folder / "out") == ["turned.json", "turned.mp4"]


@pytest.mark.parametrize("recursive", [False, True])
def test_sub_folders(weights, folder, recursive):
    (folder / "tree" / "sub").mkdir(parents=True)
    for name in ["a.png", "sub/a.png"]:
        Image.fromarray(PICTURE).save(folder / "tree" / name)
    options = ["--recursive"] if recursive else []
    # Results in a folder below the inputs are not inputs of the second run.
    for _ in range(2):
        assert demo.main(command(weights, "--input", "tree", "--output", "tree/out", *options, *OVERRIDES)) == 0
    expected = ["a.jpg", "a.json"] + (["sub/a.jpg", "sub/a.json"] if recursive else [])
    assert listing(folder / "tree/out") == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--config-file": "nothing.py"}, "nothing.py does not exist"),
        ({"--weights": "nothing.pth"}, "nothing.pth"),
        ({"--weights": "photos/plain.png"}, "plain.png"),
        ({"--input": "photos/notes.txt"}, "no image or video"),
        ({"--input": "nowhere/"}, "no image or video"),
        ({"--output": "photos"}, "--output"),
        ({"--output": "photos/notes.txt/out"}, "cannot be written"),
        ({"--class-names": "photos/notes.txt"}, "has 1 class names, but the model has 80"),
        ({"--class-names": "nothing.txt"}, "nothing.txt"),
        ({"--device": "cuda:99"}, "cuda:99"),
        ({"opts": "model.roi_heads.use_soft_nmz=True"}, "use_soft_nms"),
    ],
)
def test_unusable_options_are_reported_in_one_sentence(weights, folder, capsys, change, message):
    options = {
        "--config-file": str(RECIPE),
        "--weights": str(weights),
        "--input": "photos",
        "--output": "out",
        **change,
    }
    opts = [options.pop("opts")] if "opts" in options else []
    status = demo.main([text for option in options.items() for text in option] + [*OVERRIDES, *opts])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert status == 2
    assert len(lines) == 1
    assert message in lines[0]
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--score-threshold", "1.5"], "number from 0 to 1"),
        (["--max-frames", "0"], "positive number"),
        (["--unknown"], "unrecognized"),
    ],
)
def test_unusable_values(weights, capsys, extra, message):
    with pytest.raises(SystemExit) as error:
        demo.main(command(weights, "--input", "photos", *extra))
    assert error.value.code == 2
    assert message in capsys.readouterr().err
