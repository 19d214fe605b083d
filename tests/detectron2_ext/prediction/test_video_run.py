"""Videos, streams and cameras through the detection task: batches, stride, identities, interruptions."""

import io
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from detectron2_ext.prediction import DetectionFileTask, DetectionResult
from detectron2_ext.prediction.predictor import DetectionPredictor
from detectron2_ext.prediction.tracking import ObjectTracker
from eva_backbone.errors import InputError
from eva_engine.commands.cli import run_command
from eva_engine.prediction import Categories, live_video
from eva_engine.prediction.file_run import predict_files
from eva_engine.prediction.frame_run import frame_results
from eva_engine.prediction.inputs import list_inputs
from eva_engine.prediction.predictor import ImagePredictor, ImageSample
from eva_engine.prediction.video import VideoReader
from tests.eva_engine.prediction.loopback_files import Answer, Files, served_files

WIDTH, HEIGHT, RATE = 96, 64, 10
SIDE = 16


class SquareFinder(ImagePredictor[DetectionResult]):
    """A detector of bright squares in the upper half of an image, and of dark ones in the lower half."""

    score_threshold = 0.5
    categories = Categories(("square",), (1,))
    tracker = DetectionPredictor.tracker

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.is_failing = False

    def prepare(self, image: np.ndarray, path: str = "") -> ImageSample:
        return ImageSample(path, image, image.shape[:2], None)

    def predict(self, samples: list[ImageSample]) -> list[DetectionResult]:
        self.batches.append(len(samples))
        if self.is_failing and len(self.batches) == 3:
            raise RuntimeError("a defect")
        return [self.find(sample) for sample in samples]

    def find(self, sample: ImageSample) -> DetectionResult:
        grey = sample.image.astype(int).mean(2)
        boxes, classes = [], []
        for number, found in enumerate((grey[:32] > 200, grey[32:] < 50)):
            if found.any():
                y, x = np.nonzero(found)
                boxes.append([x.min(), y.min() + 32 * number, x.max() + 1, y.max() + 1 + 32 * number])
                classes.append(number)
        return DetectionResult(
            path=sample.path,
            image=sample.image,
            size=sample.size,
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            scores=np.linspace(0.9, 0.8, len(boxes), dtype=np.float32),
            class_ids=np.array(classes, np.int64),
            class_names=("bright", "dark"),
            category_ids=(1, 2),
            score_threshold=self.score_threshold,
        )


def scene(number: int, is_dark_seen: bool = True) -> np.ndarray:
    """Two squares that move towards each other by two pixels per frame."""
    image = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    image[8 : 8 + SIDE, 2 * number : 2 * number + SIDE] = 255
    if is_dark_seen:
        image[40 : 40 + SIDE, WIDTH - SIDE - 2 * number : WIDTH - 2 * number] = 0
    return image


def encoded(images: list[np.ndarray], container_format: str = "mp4") -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format=container_format) as container:
        video = container.add_stream("libx264", rate=RATE, options={"g": "5", "tune": "zerolatency", "crf": "5"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.time_base = Fraction(1, RATE)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "clip.mp4").write_bytes(encoded([scene(number) for number in range(7)]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def files() -> Iterator[Files]:
    with served_files() as served:
        yield served


def run(source: str, predictor: SquareFinder | None = None, batch_size: int | None = None, **options: object) -> dict:
    """Predict on a video and return its document."""
    inputs = list_inputs([source], "out").inputs
    task = DetectionFileTask(predictor or SquareFinder(), **options)
    task.predictor.batch_size = batch_size or 1
    summary = predict_files(task, inputs, "out")
    assert not summary.failures
    return json.loads(Path("out", f"{inputs[0].stem}.json").read_text())


def written_frames(path: str) -> list[tuple[float, np.ndarray]]:
    with av.open(path) as container:
        return [(round(frame.time, 3), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("batch_size", "batches"), [(None, [1] * 7), (3, [3, 3, 1])])
def test_frames_are_processed_in_batches_and_in_order(batch_size, batches):
    predictor = SquareFinder()
    document = run("clip.mp4", predictor, batch_size)
    assert predictor.batches == batches
    assert (document["num_frames"], document["complete"], document["video"]) == (7, True, "clip.mp4")
    for number, frame in enumerate(document["frames"]):
        assert (frame["frame"], frame["time"]) == (number, number / RATE)
        assert [record["bbox"][0] for record in frame["detections"]] == [2 * number, WIDTH - SIDE - 2 * number]
    assert [time for time, _ in written_frames("out/clip.mp4")] == [number / RATE for number in range(7)]


@pytest.mark.usefixtures("folder")
def test_stride_and_number_of_frames():
    document = run("clip.mp4", frame_stride=3)
    assert [(frame["frame"], frame["time"]) for frame in document["frames"]] == [(0, 0.0), (3, 0.3), (6, 0.6)]
    assert [frame["detections"][0]["bbox"][0] for frame in document["frames"]] == [0, 6, 12]
    assert (document["num_frames"], document["complete"]) == (3, True)
    assert [time for time, _ in written_frames("out/clip.mp4")] == [0.0, 0.3, 0.6]
    predictor = SquareFinder()
    document = run("clip.mp4", predictor, 4, frame_stride=2, max_frames=2)
    assert [frame["frame"] for frame in document["frames"]] == [0, 2]
    assert predictor.batches == [2]


@pytest.mark.usefixtures("folder")
def test_an_error_keeps_the_finished_frames():
    predictor = SquareFinder()
    predictor.is_failing = True
    with pytest.raises(RuntimeError, match="a defect"):
        run("clip.mp4", predictor, 2)
    document = json.loads(Path("out/clip.json").read_text())
    assert (document["num_frames"], document["complete"], document["problem"]) == (4, False, "stopped by RuntimeError")
    assert len(written_frames("out/clip.mp4")) == 4
    assert sorted(os.listdir("out")) == ["clip.json", "clip.mp4"]


@pytest.mark.usefixtures("folder")
def test_ctrl_c_ends_a_stream_and_completes_its_files(files, capsys):
    predictor = SquareFinder()

    def parts() -> Iterator[bytes]:
        yield encoded([scene(number % 20) for number in range(80)], "mpegts")
        num_batches = -1
        while num_batches < 1 or num_batches != len(predictor.batches):  # until all threads wait for the server
            num_batches = len(predictor.batches)
            files.closing.wait(0.5)
        os.kill(os.getpid(), signal.SIGINT)
        files.closing.wait()

    files.answers["/live.ts"] = Answer(parts, length=None)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert run_command(run, f"{files.address}/live.ts", predictor, 4, finished="out") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    document = json.loads(Path("out/live.json").read_text())
    assert document["video"] == f"{files.address}/live.ts"
    assert document["num_frames"] == len(document["frames"]) >= 50  # without the batch that was interrupted
    assert (document["complete"], document["problem"]) == (False, "stopped by KeyboardInterrupt")
    assert len(written_frames("out/live.mp4")) == document["num_frames"]
    assert sorted(os.listdir("out")) == ["live.json", "live.mp4"]
    assert "interrupted; finished results are in out" in capsys.readouterr().err
    assert "decode" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.usefixtures("folder")
def test_a_camera(monkeypatch):
    av_open = av.open

    def simulated(source: object, *args: object, **options: object) -> object:
        if source != "/dev/video0":
            return av_open(source, *args, **options)
        assert options["format"] == "v4l2"
        return av_open("testsrc=size=64x48:rate=50,realtime", format="lavfi")

    monkeypatch.setattr(live_video.av, "open", simulated)
    document = run("0", max_frames=5)
    assert (document["video"], document["num_frames"], document["complete"]) == ("/dev/video0", 5, True)
    indices = [frame["frame"] for frame in document["frames"]]
    assert indices == sorted(set(indices))
    assert len(written_frames("out/video0.mp4")) == 5


@pytest.mark.usefixtures("folder")
def test_memory_is_bounded_when_the_consumer_is_slow():
    taken: list[int] = []

    class CountingReader(VideoReader):
        def __iter__(self) -> Iterator:
            for frame in super().__iter__():
                taken.append(frame.index)
                yield frame

    Path("long.mp4").write_bytes(encoded([scene(number % 20) for number in range(60)]))
    with CountingReader("long.mp4") as reader:
        for frame, _ in frame_results(SquareFinder(), reader, batch_size=2):
            assert taken[-1] <= frame.index + 3 * 2 + 3


def test_tracking_without_its_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(InputError) as error:
        DetectionFileTask(SquareFinder(), track=True)
    assert (
        str(error.value) == "tracking needs the package trackers: pip install '.[track]' in the folder of EVA Vision."
    )


def result_of(boxes: list[list[float]], scores: list[float], **attributes: object) -> DetectionResult:
    return DetectionResult(
        size=(HEIGHT, WIDTH),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.array(scores, np.float32),
        class_ids=np.zeros(len(boxes), np.int64),
        class_names=("square",),
        category_ids=(1,),
        **attributes,
    )


def test_identities_are_in_records_drawings_and_supervision():
    boxes = [[0, 20, 40, 40], [50, 20, 90, 40]]
    tracked = result_of(boxes, [0.93, 0.9], track_ids=np.array([12, 0]), image=np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert [record["track_id"] for record in tracked.records()] == [12, None]
    assert [record["track_id"] for record in json.loads(json.dumps(tracked.to_dict()))["detections"]] == [12, None]
    assert "track_id" not in result_of(boxes, [0.9, 0.9]).records()[0]
    drawn = np.asarray(tracked.plot())
    tracked.scores[1] = 0.1  # the label of the other object
    tracked.track_ids[0] = 13
    other = np.asarray(tracked.plot())
    assert (drawn[20:40, 0] != other[20:40, 0]).any()  # the colour is that of the identity
    assert (drawn[39, 50:90] == 150).all()  # grey without one
    supervision = pytest.importorskip("supervision")
    detections = tracked.to_supervision()
    assert isinstance(detections, supervision.Detections)
    assert detections.tracker_id.tolist() == [13, -1]


@pytest.mark.usefixtures("folder")
def test_objects_keep_their_identity_while_they_pass_and_after_a_gap():
    pytest.importorskip("trackers")
    # The dark square is hidden in the sixth and seventh of 20 frames.
    Path("clip.mp4").write_bytes(encoded([scene(number, number not in (5, 6)) for number in range(20)]))
    document = run("clip.mp4", batch_size=4, track=True)
    identities: dict[str, set] = {"bright": set(), "dark": set()}
    for frame in document["frames"][1:]:  # an identity begins in the second frame
        for record in frame["detections"]:
            identities[record["category"]].add(record["track_id"])
    assert [record["track_id"] for record in document["frames"][0]["detections"]] == [None, None]
    assert identities == {"bright": {1}, "dark": {2}}


def test_identities_start_from_the_score_threshold_or_one_half():
    pytest.importorskip("trackers")
    boxes = [[0, 0, 20, 20], [40, 0, 60, 20]]
    for threshold, scores, expected in [(0.1, [0.8, 0.3], [1, 0]), (0.7, [0.8, 0.72], [1, 2]), (0.5, [], [])]:
        tracker = ObjectTracker(10, threshold)
        for _ in range(3):
            tracked = tracker.update(result_of(boxes[: len(scores)], scores))
        assert sorted(tracked.track_ids.tolist(), key=lambda identity: identity or 9) == sorted(
            expected, key=lambda i: i or 9
        )
        assert tracked.scores.tolist() == pytest.approx(scores)


def test_an_identity_continues_through_weak_detections():
    pytest.importorskip("trackers")
    tracker = ObjectTracker(10, 0.1)
    found = []
    for score in (0.9, 0.9, 0.2, 0.2, 0.9):
        found += tracker.update(result_of([[0, 0, 20, 20]], [score])).track_ids.tolist()
    assert found == [0, 1, 1, 1, 1]
