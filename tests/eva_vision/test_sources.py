"""Every kind of source gives the same result; streams need memory for a few results only."""

import io
import json
import logging
import re
import weakref

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import eva_vision
from eva_backbone.errors import InputError
from eva_engine.commands import predict
from eva_vision.sources import find_sources
from tests.eva_engine.prediction.loopback_files import body, served_files


def as_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).permute(2, 0, 1)


@pytest.mark.parametrize(
    "convert",
    [
        str,
        lambda path: path,
        Image.open,
        lambda path: np.asarray(Image.open(path)),
        lambda path: as_tensor(np.array(Image.open(path))),
        lambda path: as_tensor(np.array(Image.open(path))) / 255,
        lambda path: as_tensor(np.array(Image.open(path)))[None],
        lambda path: [path],
        lambda path: iter([path]),
    ],
)
def test_sources_of_one_image(classifier, photos, convert):
    (expected,) = classifier.model.predict(photos / "a.png")
    (result,) = classifier.model.predict(convert(photos / "a.png"))
    np.testing.assert_array_equal(result.probabilities, expected.probabilities)
    np.testing.assert_array_equal(result.image, expected.image)


def test_web_addresses(classifier, photos):
    (expected,) = classifier.model.predict(photos / "a.png")
    with served_files() as files:
        files.answers["/a.png"] = body((photos / "a.png").read_bytes())
        (result,) = classifier.model.predict(f"{files.address}/a.png")
        with pytest.raises(InputError, match="404"):
            classifier.model.predict(f"{files.address}/b.png")
    np.testing.assert_array_equal(result.probabilities, expected.probabilities)
    assert result.path == f"{files.address}/a.png"


def test_images_in_memory_follow_their_orientation_tag_as_files_do(detector, photos):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.open(photos / "a.png").save(photos / "turned.png", exif=exif)
    (expected,) = detector.model.predict(photos / "turned.png")
    (result,) = detector.model.predict(Image.open(photos / "turned.png"))
    assert result.size == (100, 75)
    np.testing.assert_array_equal(result.scores, expected.scores)


def test_a_list_has_a_result_for_each_part_and_a_folder_one_for_each_file(classifier, photos):
    array = np.asarray(Image.open(photos / "b.png"))
    results = classifier.model.predict([photos / "b.png", photos, array])
    assert [result.path for result in results] == [
        str(photos / "b.png"),
        str(photos / "a.png"),
        str(photos / "b.png"),
        "",
    ]
    for index in (2, 3):
        np.testing.assert_array_equal(results[index].probabilities, results[0].probabilities)


def test_images_of_folders_are_kept_on_request_only(classifier, photos):
    light = classifier.model.predict(photos)[0]
    with pytest.raises(InputError, match="keep_images=True"):
        light.plot()
    assert classifier.model.predict(photos, keep_images=True)[0].plot().size[0] == 240
    assert classifier.model.predict(photos / "a.png", keep_images=False)[0].image is None
    assert next(iter(classifier.model.predict(photos, stream=True))).image is not None


def test_subfolders_are_searched_on_request(classifier, photos):
    assert len(classifier.model.predict(photos.parent, recursive=True)) == 2
    with pytest.raises(InputError, match=r"no image in .*subfolders"):
        classifier.model.predict(photos.parent)


def test_a_broken_file_in_a_folder_is_named_and_left_out(classifier, photos, caplog):
    (photos / "aa.png").write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING, "eva_vision"):
        results = classifier.model.predict(photos)
    assert [result.path for result in results] == [str(photos / "a.png"), str(photos / "b.png")]
    assert [message for message in caplog.messages if "aa.png" in message and message.startswith("failed: ")]
    with pytest.raises(InputError, match=r"aa\.png"):
        classifier.model.predict([photos / "a.png", photos / "aa.png"])
    with pytest.raises(InputError, match=r"aa\.png"):
        classifier.model.features(photos)


def test_videos_in_folders(detector, photos, video, caplog):
    video.rename(photos / "clip.mp4")
    (photos / "damaged.mp4").write_bytes(b"nothing")
    with caplog.at_level(logging.WARNING, "eva_vision"):
        results = detector.model.predict(photos)
    assert [result.path for result in results] == [str(photos / "a.png"), str(photos / "b.png")]
    assert f"failed: {photos / 'clip.mp4'}: a video; give it alone, or the folder with stream=True" in caplog.text

    caplog.clear()
    with caplog.at_level(logging.WARNING, "eva_vision"):
        results = list(detector.model.predict(photos, stream=True))
    names = [(result.path.rsplit("/", 1)[1], result.frame) for result in results]
    assert names == [("a.png", None), ("b.png", None), *(("clip.mp4", number) for number in range(5))]
    frames = list(detector.model.predict(photos / "clip.mp4"))
    for found, expected in zip(results[2:], frames, strict=True):
        np.testing.assert_array_equal(found.scores, expected.scores)
    assert len([message for message in caplog.messages if message.startswith("failed: ")]) == 1
    assert "damaged.mp4" in caplog.text


@pytest.mark.parametrize("predict", ["predict", "features", "an iterator"])
def test_what_is_left_out_of_a_folder_is_logged_wherever_it_is_given(detector, photos, video, predict, caplog):
    video.rename(photos / "clip.mp4")
    with caplog.at_level(logging.WARNING, "eva_vision"):
        if predict == "features":
            found = detector.model.features(photos)
        elif predict == "predict":
            found = detector.model.predict([photos])
        else:
            found = list(detector.model.predict(iter([photos])))
    assert len(found) == 2
    assert "clip.mp4: a video" in caplog.text


def test_an_iterator_searches_subfolders_on_request(classifier, photos):
    assert len(list(classifier.model.predict(iter([photos.parent]), recursive=True))) == 2


@pytest.mark.parametrize("convert", [str, Image.open])
def test_the_first_frame_of_an_animation_is_used_and_logged_once(classifier, tmp_path, convert, caplog):
    frames = [Image.new("RGB", (30, 30), (value, 0, 0)) for value in (250, 10)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    model = eva_vision.load(
        classifier.weights, config_file=classifier.recipe, overrides=classifier.overrides, device="cpu"
    )
    with caplog.at_level(logging.WARNING, "eva_vision"):
        results = [model.predict(convert(tmp_path / "a.gif"))[0] for _ in range(2)]
    assert int(results[0].image[0, 0, 0]) == 250
    assert sum("only the first frame or page is used" in message for message in caplog.messages) == 1


def test_the_number_of_a_camera():
    for given in (0, "0"):
        found = find_sources(given, ("image",))
        assert found.is_stream
        assert found.video == find_sources("0", ("image",)).video


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.jpg", "missing.jpg: there is no such file"),
        (7.5, "the source is of type float, which cannot be predicted on; give a path"),
        (True, "the source is of type bool"),
        (-1, "the source is of type int"),
        ("", "the source is an empty text; give a path"),
        (
            b"GIF89a",
            "the source is of type bytes, which cannot be predicted on; give a path, .* or a list or generator of",
        ),
        (bytearray(3), "the source is of type bytearray"),
        (io.BytesIO(b"GIF89a"), "the source is of type BytesIO, which cannot be predicted on; give a path"),
        ([io.BytesIO(b"GIF89a")], "the source is of type BytesIO"),
        (None, "the source is of type NoneType, which cannot be predicted on; give a path"),
        (np.zeros((4, 4, 3)), r"an array \[4, 4, 3\] of float64 is not an image; give uint8"),
        (np.zeros((4, 4, 4), np.uint16), r"an array \[4, 4, 4\] of uint16 is not an image"),
        (np.zeros((4, 4), np.uint16), r"more than 8 bits per channel \(uint16\), .* with value_range=\(LOW, HIGH\)"),
        (np.zeros((4, 4), np.uint8), r"an array \[4, 4\] of uint8 is not an image"),
        (torch.zeros(4, 4, 3), r"a tensor \[4, 4, 3\] is not an image; give RGB values as \[3, H, W\]"),
        (torch.full((3, 4, 4), 255.0), "must have RGB values from 0 to 1"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "a tensor of torch.int64 is not an image"),
        (Image.new("I;16", (4, 4)), "more than 8 bits per channel"),
        ([iter([])], "give it alone"),
    ],
)
def test_what_cannot_be_predicted_on(classifier, source, message):
    with pytest.raises(InputError, match=message):
        classifier.model.predict(source)


def test_frames_of_a_video_come_one_by_one(detector, video):
    results = detector.model.predict(video)
    first = next(results)
    assert (first.path, first.frame, first.time, first.size) == (str(video), 0, 0.0, (48, 64))
    assert "clip.mp4 at 0.00 s" in repr(first)
    rest = list(results)
    assert [result.frame for result in rest] == [1, 2, 3, 4]
    assert [result.time for result in rest] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert abs(int(rest[-1].image.mean()) - 160) < 5
    with pytest.raises(InputError, match="give it alone"):
        detector.model.predict([video])


def test_a_reused_array_keeps_its_content(classifier):
    buffer = np.zeros((30, 30, 3), np.uint8)

    def frames():
        for value in (10, 200):
            buffer[:] = value
            yield buffer

    results = list(classifier.model.predict(frames()))
    assert [int(result.image[0, 0, 0]) for result in results] == [10, 200]


def test_a_stream_keeps_a_few_images_only(classifier, tmp_path, monkeypatch):
    for number in range(200):
        Image.new("RGB", (6, 5), (number, 0, 0)).save(tmp_path / f"{number:03}.png")
    images: list[weakref.ref] = []
    predictor = classifier.model.predictor
    prepare = predictor.prepare

    def count(image, path=""):
        images.append(weakref.ref(image))
        return prepare(image, path)

    monkeypatch.setattr(predictor, "prepare", count)
    num_alive = []
    for number, result in enumerate(classifier.model.predict(tmp_path, stream=True, batch_size=4)):
        assert int(result.image[0, 0, 0]) == number
        num_alive.append(sum(image() is not None for image in list(images)))
    assert len(images) == 200
    # The batch that was predicted, and the one that is read ahead.
    assert max(num_alive) <= 3 * 4


def test_frames_are_chosen_by_stride_and_number(detector, video):
    every = list(detector.model.predict(video, keep_images=False))
    chosen = list(detector.model.predict(video, frame_stride=2, max_frames=2, batch_size=2))
    assert [result.frame for result in chosen] == [0, 2]
    for result in chosen:
        np.testing.assert_allclose(result.scores, every[result.frame].scores, atol=1e-5)
    with pytest.raises(InputError, match="frame_stride=0 is not a positive number"):
        detector.model.predict(video, frame_stride=0)


def test_objects_are_tracked(detector, video):
    pytest.importorskip("trackers")
    results = list(detector.model.predict(video, track=True))
    assert all(len(result.track_ids) == len(result) for result in results)
    assert [result.frame for result in results] == list(range(len(results)))


def test_what_needs_a_video_or_objects_is_refused(detector, segmenter, photos, video):
    for options in ({"track": True}, {"frame_stride": 2}, {"max_frames": 1}):
        with pytest.raises(InputError, match="are for the frames of one video"):
            detector.model.predict(photos, **options)
    with pytest.raises(InputError, match="finds no objects that could be tracked"):
        list(segmenter.model.predict(video, track=True))


def test_models_of_videos_take_files(video_classifier, video):
    (result,) = video_classifier.model.predict(video)
    assert (result.path, len(result)) == (str(video), 3)
    assert result.frames.shape[0] == 4
    ((features,),) = video_classifier.model.features(video)
    assert features.shape == (32, 4, 2, 2)
    with pytest.raises(InputError, match="the image in memory is an image, but the model takes video files"):
        video_classifier.model.predict(np.zeros((9, 9, 3), np.uint8))


@pytest.mark.parametrize("size", [(75, 100), (100, 50), (31, 47)])
def test_models_of_segmentation_take_images_of_any_size(segmenter, size):
    image = np.zeros((*size, 3), np.uint8)
    (result,) = segmenter.model.predict(image)
    assert result.labels.shape == size
    assert result.plot().size[1] >= size[0]  # with a legend
    ((features,),) = segmenter.model.features(image)
    assert features.ndim == 3


@pytest.mark.parametrize("is_grey", [True, False])
def test_images_of_16_bits_are_those_of_the_command(classifier, photos, tmp_path, is_grey):
    values = np.asarray(Image.open(photos / "a.png"))
    values = values[:, :, 0] if is_grey else values
    deep = values.astype(np.uint16) * 16
    path = photos / "deep.png"
    cv2.imwrite(str(path), deep if is_grey else deep[:, :, ::-1])
    (flat,) = classifier.model.predict(Image.fromarray(values))
    keywords = {"config_file": classifier.recipe, "overrides": classifier.overrides, "device": "cpu"}
    model = eva_vision.load(classifier.weights, value_range=(0, 4080), **keywords)
    # Pillow itself reduces files with 16 bits and several channels.
    for source in (path, deep, *([Image.open(path)] if is_grey else [])):
        (result,) = model.predict(source)
        np.testing.assert_array_equal(result.image, flat.image)
        np.testing.assert_array_equal(result.probabilities, flat.probabilities)
    command = [*classifier.arguments, "--input", str(path), "--output", str(tmp_path / "out")]
    assert predict.main([*command, "--value-range", "0", "4080"]) == 0
    assert json.loads((tmp_path / "out/classes.jsonl").read_text()) == model.predict(path)[0].to_dict()
    torch.testing.assert_close(model.features(deep), classifier.model.features(result.image))


@pytest.mark.parametrize("levels", [(9, 9), (0, float("nan")), (1,), "09", 5, ("a", "b")])
def test_levels_that_are_no_range(classifier, levels):
    with pytest.raises(
        InputError, match=f"value_range={re.escape(repr(levels))} is not a range; give the values of black"
    ):
        eva_vision.load(
            classifier.weights, config_file=classifier.recipe, overrides=classifier.overrides, value_range=levels
        )


def test_models_of_videos_have_no_levels(video_classifier):
    with pytest.raises(InputError, match="value_range is an option for images, and this model takes videos"):
        eva_vision.load(
            video_classifier.weights,
            config_file=video_classifier.recipe,
            overrides=video_classifier.overrides,
            value_range=(0, 1),
        )
