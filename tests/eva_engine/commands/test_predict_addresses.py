"""The command predict with batches of frames, addresses, and images of more than 8 bits."""

import io
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from detectron2.config import instantiate
from PIL import Image

from detectron2_ext.prediction import DetectionPredictor
from eva_engine.commands import predict
from eva_engine.config import load_config
from tests.eva_engine.prediction.loopback_files import Files, body, served_files

ROOT = Path(__file__).parents[3]
RECIPE = ROOT / "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py"
OVERRIDES = (ROOT / "tests/data/tiny_cascade_mask_rcnn.txt").read_text().split()
WIDTH, HEIGHT, RATE = 96, 64, 10
IMAGE = np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.save({"model": instantiate(load_config(str(RECIPE), OVERRIDES).model).state_dict()}, path)
    return path


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working directory, with a clip."""
    (tmp_path / "clip.mp4").write_bytes(encoded(7, "mp4"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def files() -> Iterator[Files]:
    with served_files() as served:
        yield served


def encoded(num_frames: int, container_format: str) -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format=container_format) as container:
        video = container.add_stream("libx264", rate=RATE, options={"g": "5", "tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = Fraction(1, RATE)
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.roll(IMAGE, 2 * number, axis=1), format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return stream.getvalue()


def run(weights: Path, *arguments: str, threshold: str = "0") -> int:
    command = ["--config-file", str(RECIPE), "--weights", str(weights), "--device", "cpu"]
    return predict.main([*command, "--score-threshold", threshold, "--output", "out", *arguments, *OVERRIDES])


def document(path: str) -> dict:
    return json.loads(Path("out", path).read_text())


def frame_times(path: str) -> list[float]:
    with av.open(str(Path("out", path))) as container:
        return [round(frame.time, 3) for frame in container.decode(video=0)]


def test_batches_give_the_results_of_single_frames(weights):
    assert run(weights, "--input", "clip.mp4", "--batch-size", "3") == 0
    found = document("clip.json")
    assert (found["num_frames"], found["complete"], found["video"]) == (7, True, "clip.mp4")
    predictor = DetectionPredictor.from_config(load_config(str(RECIPE), OVERRIDES), weights, "cpu", score_threshold=0.0)
    with av.open("clip.mp4") as container:
        for number, frame in enumerate(container.decode(video=0)):
            expected = predictor(frame.to_ndarray(format="rgb24")).records()
            assert len(found["frames"][number]["detections"]) == len(expected) == 12
            for detection, record in zip(found["frames"][number]["detections"], expected, strict=True):
                assert detection["category"] == record["category"]
                assert detection["bbox"] == pytest.approx(record["bbox"], abs=0.01)
                assert detection["score"] == pytest.approx(record["score"], abs=1e-4)
    assert frame_times("clip.mp4") == [number / RATE for number in range(7)]


def test_downloaded_images_and_one_note_about_their_frames(weights, files, capsys):
    frames = [Image.fromarray(np.roll(IMAGE, 16 * number, axis=1)) for number in range(3)]
    stream = io.BytesIO()
    frames[0].save(stream, "PNG", save_all=True, append_images=frames[1:])
    files.answers |= {"/a.png": body(stream.getvalue()), "/b.png": body(stream.getvalue())}
    Image.fromarray(IMAGE).save("still.jfif", "JPEG")
    addresses = [f"{files.address}/{name}" for name in ("a.png?x=1", "b.png", "missing.png")]
    assert run(weights, "--input", *addresses, "still.jfif", threshold="0.9") == 1
    assert document("a.json")["image"] == addresses[0]
    assert (document("a.json")["width"], document("a.json")["height"]) == (WIDTH, HEIGHT)
    assert document("still.json")["image"] == "still.jfif"
    printed = capsys.readouterr()
    assert "images: 3, videos: 0, frames: 0, detections: 0, failed: 1" in printed.out
    assert "only the first frame or page was read of 2 image files that have several" in printed.out
    failed = [line for line in printed.err.splitlines() if line.startswith("failed: ")]
    assert failed == [f"failed: {addresses[2]}: the server answered 404 Not Found; check the address."]


def test_the_range_of_values_reaches_the_reader(weights, capsys):
    cv2.imwrite("deep.png", IMAGE.astype(np.uint16) * 16)
    Image.fromarray(IMAGE[:, :, ::-1]).save("flat.png")
    assert run(weights, "--input", "deep.png", "flat.png", "--value-range", "0", "4080") == 0
    assert document("deep.json")["detections"] == document("flat.json")["detections"]
    assert run(weights, "--input", "deep.png", "--value-range", "9", "9") == 2
    assert "--value-range 9 9 is not a range; give the values of black and of white." in capsys.readouterr().err
