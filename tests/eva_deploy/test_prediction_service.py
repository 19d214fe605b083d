"""Uploads are predicted on as files are, one at a time, and nothing about the server is in the answers."""

import io
import json
import threading
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from eva_backbone.errors import InputError
from eva_deploy.page.kept_results import KeptResults
from eva_deploy.page.limits import Limits, RefusedError
from eva_deploy.page.worker import Worker
from eva_engine.commands.verbs import main
from eva_engine.prediction.video import VideoWriter

LABELS = {"labels": ["a cat", "a dog"]}


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_documents_are_those_of_the_command(task, model_of, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(photo)
    options = {"score_threshold": 0.2} if task == "detection" else {}
    arguments = ["--score-threshold", "0.2"] if options else []
    model = model_of(task)
    assert main(["predict", *model.arguments, *arguments, "--input", "photo.png", "--output", "out"]) == 0
    answer = model.service().predict(photo, "photo.png", options=options)
    assert answer.document == (tmp_path / "out/photo.json").read_text().rstrip("\n")


def test_lines_are_those_of_the_command(model_of, photo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.png").write_bytes(photo)
    model = model_of("classification")
    assert main(["predict", *model.arguments, "--input", "photo.png", "--output", "out"]) == 0
    document = model.service().predict(photo, "photo.png").document
    assert document == (tmp_path / "out/classes.jsonl").read_text().rstrip("\n")


def test_frames_of_a_video_are_those_of_the_command(model_of, clip, tmp_path, monkeypatch):
    monkeypatch.chdir(clip.parent)
    model = model_of("detection")
    options = ["--max-frames", "3", "--score-threshold", "0.2"]
    assert main(["predict", *model.arguments, *options, "--input", "clip.mp4", "--output", str(tmp_path)]) == 0
    service = model.service(Limits(max_frames=3))
    drawn = tmp_path / "drawn.mp4"
    answer = service.predict(clip, "clip.mp4", "", drawn, {"score_threshold": 0.2})
    assert answer.document == (tmp_path / "clip.json").read_text().rstrip("\n")
    assert drawn.read_bytes()[4:8] == b"ftyp"
    # programs get no drawing
    assert service.predict(clip.read_bytes(), "clip.mp4", options={"score_threshold": 0.2}).document == answer.document


def test_a_classifier_of_videos(model_of, clip):
    document = json.loads(model_of("video").service(top=2).predict(clip.read_bytes(), "clip.mp4").document)
    assert document["video"] == "clip.mp4"
    assert len(document["classes"]) == 2


def test_texts_of_a_request(model_of, photo):
    service = model_of("clip").service()
    first = json.loads(service.predict(photo, "a.png", options=LABELS).document)["labels"]
    other = json.loads(service.predict(photo, "a.png", options={"labels": ["x", "y", "z"]}).document)["labels"]
    assert {label["label"] for label in first} == {"a cat", "a dog"}
    assert {label["label"] for label in other} == {"x", "y", "z"}
    with pytest.raises(RefusedError, match="no labels"):
        service.predict(photo, "a.png")


def test_one_text_of_a_request_is_not_a_file_of_the_server(model_of, photo, tmp_path):
    (tmp_path / "secret.txt").write_text("one\ntwo\n")
    with pytest.raises(RefusedError, match="give 2 to 200 labels"):
        model_of("clip").service().predict(photo, "a.png", options={"labels": [str(tmp_path / "secret.txt")]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score_threshold": 2.0}, "not a number from 0 to 1"),
        ({"class_names": "x"}, "class_names is not an option"),
        ({"templates": ["/etc/passwd"]}, "templates is not an option"),
    ],
)
def test_options_that_are_refused(options, message, model_of, photo):
    with pytest.raises(RefusedError, match=message):
        model_of("detection").service().predict(photo, "a.png", options=options)


def png(width: int, height: int) -> bytes:
    content = io.BytesIO()
    Image.new("L", (width, height)).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"not an image", "a.png", "a.png: not a readable image file"),
        (b"", "\u5b57" * 300 + ".png", "\u5b57" * 66 + ".png: not a readable image file"),
        (b"", "a." + "b" * 300, "a.bbbbbbbbbbbbbbb: not a readable image file"),
        (b"", "", "upload: not a readable image file"),
        (png(1200, 1000), "../../big.png", "big.png: 1200x1000 pixels, more than the limit of 1,000,000"),
        (png(20_000, 10_000), "bomb.png", "bomb.png: more than 100,000,000 pixels"),
        (b"not a video", "C:\\clips\\a b.mp4", "a_b.mp4: not a readable video"),
        (bytes(200_001), "a.png", "the file has more than 200,000 bytes"),
    ],
)
def test_files_that_are_refused_in_one_sentence_without_the_servers_folders(content, name, message, model_of):
    service = model_of("detection").service(Limits(max_bytes=200_000, max_pixels=1_000_000))
    with pytest.raises(InputError) as error:
        service.predict(content, name)
    assert str(error.value).startswith(message)
    assert "/" not in str(error.value)


def test_a_large_video_is_refused(model_of, clip):
    with pytest.raises(InputError, match=r"^clip\.mp4: its frames have 64x48 pixels, more than the limit of 2,000"):
        model_of("detection").service(Limits(max_pixels=2000)).predict(clip, "clip.mp4")


def test_a_truncated_video_is_predicted_on_as_far_as_it_can_be_read(model_of, tmp_path):
    path = tmp_path / "long.avi"
    with VideoWriter(path, 64, 48, Fraction(10), Fraction(1, 1000)) as writer:
        for frame in np.random.default_rng(0).integers(0, 255, (12, 48, 64, 3), np.uint8):
            writer.write(frame, None)
    content = path.read_bytes()
    answer = model_of("detection").service().predict(content[: len(content) // 2], "cut.avi")
    document = json.loads(answer.document)
    assert document["video"] == "cut.avi"
    assert 0 < document["num_frames"] < 12
    assert answer.note.startswith("cut.avi: ")
    assert answer.note.endswith(f"the {document['num_frames']} frames that could be read are written.")


def test_frames_of_a_task_that_draws_no_videos(model_of, clip, tmp_path):
    drawn = tmp_path / "drawn.mp4"
    document = json.loads(model_of("classification").service().predict(clip, "clip.mp4", "", drawn).document)
    assert [len(frame["classes"]) for frame in document["frames"]] == [5] * 5
    assert not drawn.exists()


def test_images_are_refused_by_a_model_for_videos(model_of, photo):
    with pytest.raises(RefusedError, match="takes videos, not images"):
        model_of("video").service().predict(photo, "photo.png", "image/png")


def test_a_bug_does_not_show_itself_to_clients(model_of, photo, monkeypatch):
    service = model_of("classification").service()

    def fail(_):
        raise ValueError("/home/someone")

    monkeypatch.setattr(service.predictor, "predict", fail)
    with pytest.raises(RefusedError, match=r"^the prediction failed; the terminal of the server shows why\.$"):
        service.predict(photo, "a.png")


def test_one_function_at_a_time_and_a_bounded_queue():
    worker, is_running, may_end = Worker(max_waiting=2), threading.Event(), threading.Event()
    events, answers = [], set()

    def work(number):
        events.append(("begins", number))
        is_running.set()
        may_end.wait()
        events.append(("ends", number))
        return number

    def ask(number):
        answers.add(worker.call(lambda: work(number)))

    threads = [threading.Thread(target=ask, args=(0,))]
    threads[0].start()
    is_running.wait()
    for number in (1, 2):
        threads.append(threading.Thread(target=ask, args=(number,)))
        threads[-1].start()
        while worker._waiting.qsize() < number:
            pass
    with pytest.raises(RefusedError, match="2 requests already wait for the model"):
        worker.call(lambda: None)
    may_end.set()
    for thread in threads:
        thread.join()
    assert answers == {0, 1, 2}
    assert events == [(event, number) for number in (0, 1, 2) for event in ("begins", "ends")]


def test_nothing_waits_for_the_model_at_the_end():
    worker, is_running, may_end = Worker(max_waiting=2), threading.Event(), threading.Event()
    failures = []

    def ask():
        try:
            worker.call(lambda: (is_running.set(), may_end.wait()))
        except RefusedError as error:
            failures.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    is_running.wait()
    worker.close()
    thread.join()
    assert failures == ["the server ends."]
    may_end.set()


def test_old_results_are_dropped(model_of, photo):
    result = model_of("classification").service().predict(photo, "a.png").result
    kept = KeptResults(max_bytes=2 * result.image.nbytes)
    keys = [kept.add(result) for _ in range(3)]
    with pytest.raises(RefusedError, match="not kept any more"):
        kept.get(keys[0])
    assert kept.get(keys[1]) is result
