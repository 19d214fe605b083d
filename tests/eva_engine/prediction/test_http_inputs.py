"""Inputs that are HTTP addresses: limits on size and time, redirects, wrong answers, and the names of results."""

import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request

import numpy as np
import pytest
from loopback_files import Answer, Files, body, redirect, served_files
from PIL import Image

from eva_backbone.errors import InputError
from eva_engine.prediction import download
from eva_engine.prediction.addresses import address_file_name, find_address, shown_address
from eva_engine.prediction.download import local_file
from eva_engine.prediction.http_reader import _HttpRedirects
from eva_engine.prediction.inputs import Input, list_inputs
from eva_engine.prediction.predictor import ImagePredictor, ImageSample

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


class Reader(ImagePredictor):
    """A predictor that only reads."""

    def prepare(self, image: np.ndarray, path: str = "") -> ImageSample:
        return ImageSample(path, image, image.shape[:2], None)

    def predict(self, samples):
        raise NotImplementedError


def png(pixels: np.ndarray = PIXELS) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """The server; downloads go to a folder that must be empty afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with served_files() as served:
        yield served
    assert not list((tmp_path / "temporary").iterdir())


def read(files: Files, path: str) -> ImageSample:
    found = list_inputs([files.address + path], "out")
    assert not found.unusable
    return Reader().read(found.inputs[0])


def failure(files: Files, path: str) -> str:
    with pytest.raises(InputError) as error:
        read(files, path)
    message = str(error.value)
    assert message.startswith(files.address)
    assert "\n" not in message
    return message


def test_an_image_is_downloaded_and_keeps_its_address_as_name(files):
    files.answers["/photos/a%20b.png"] = body(png())
    sample = read(files, "/photos/a%20b.png?size=large&x=1#top")
    np.testing.assert_array_equal(sample.image, PIXELS)
    assert sample.path == f"{files.address}/photos/a%20b.png?size=large&x=1"
    path, headers = files.requests[0]
    assert path == "/photos/a%20b.png?size=large&x=1"
    assert headers["User-Agent"] == "eva-vision"


def test_a_redirect_to_another_http_address_is_followed(files):
    files.answers |= {"/a.png": redirect("/b.png"), "/b.png": body(png())}
    np.testing.assert_array_equal(read(files, "/a.png").image, PIXELS)


def test_the_body_of_a_redirect_is_not_read(files):
    endless = iter(lambda: b"x" * 1000, None)
    files.answers["/a.png"] = Answer(lambda: endless, length=None, status=302, headers={"Location": "/b.png"})
    files.answers["/b.png"] = body(png())
    np.testing.assert_array_equal(read(files, "/a.png").image, PIXELS)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/a.png", "data:image/png;base64,AA=="])
def test_redirects_to_other_schemes_are_refused(files, target):
    files.answers["/a.png"] = redirect(target)
    assert f"the server redirects to {target}, which is not followed" in failure(files, "/a.png")


def test_redirects_without_an_end_are_refused(files):
    files.answers["/a.png"] = redirect("/a.png")
    assert failure(files, "/a.png").endswith("the server redirects too often; check the address.")
    assert len(files.requests) < 12


def test_a_redirect_from_https_to_http_is_refused():
    request = Request("https://a.org/a.png")
    with pytest.raises(InputError, match=r"redirects to http://a\.org/b\.png, which is not followed"):
        _HttpRedirects("a").http_error_302(request, io.BytesIO(), 302, "", {"Location": "http://a.org/b.png"})


def test_wrong_addresses_are_one_sentence(files):
    assert failure(files, "/missing.png").endswith("the server answered 404 Not Found; check the address.")
    files.answers["/text.png"] = body(b"<html>")
    assert "not a readable image file (its format is unknown)" in failure(files, "/text.png")
    assert "eva-vision-" not in failure(files, "/text.png")  # the temporary folder
    closed = Input(Path("a.png"), "image", "a", "http://127.0.0.1:9/a.png")
    with pytest.raises(InputError, match=r"^http://127\.0\.0\.1:9/a\.png: the connection failed \(.*\); check"):
        Reader().read(closed)


def test_the_size_is_limited(files, monkeypatch):
    monkeypatch.setattr(download, "MAX_DOWNLOAD_BYTES", 100_000)
    endless = iter(lambda: b"\x89PNG" * 1000, None)
    files.answers["/endless.png"] = Answer(lambda: endless, length=None)
    files.answers["/stated.png"] = body(b"", length=200_000)
    for path in ("/endless.png", "/stated.png"):
        assert "more than 100,000 bytes, the limit of downloads; download it" in failure(files, path)


def test_the_time_is_limited_for_a_server_that_sends_byte_by_byte(files, monkeypatch):
    monkeypatch.setattr(download, "MAX_DOWNLOAD_SECONDS", 0.3)

    def drip() -> Iterator[bytes]:
        while not files.closing.wait(0.05):
            yield b"\x89"

    files.answers["/drip.png"] = Answer(drip, length=1000)
    assert "not complete after 0.3 s, the limit" in failure(files, "/drip.png")


def test_the_time_is_limited_for_a_server_that_does_not_answer(files, monkeypatch):
    monkeypatch.setattr(download, "MAX_DOWNLOAD_SECONDS", 0.3)

    def wait() -> Iterator[bytes]:
        files.closing.wait()
        yield b""

    files.answers["/silent.png"] = Answer(wait, length=1000)
    assert "not complete after 0.3 s, the limit" in failure(files, "/silent.png")


def test_a_wrong_length_is_noticed(files):
    files.answers["/short.png"] = body(png(), length=100_000, headers={"Connection": "close"})
    assert f"the download ended after {len(png()):,} of 100,000 bytes; try again" in failure(files, "/short.png")
    files.answers["/long.png"] = body(png(), length=50)
    assert "not a readable image file" in failure(files, "/long.png")


def test_cameras_are_not_files():
    camera = Input(Path("video0"), "video", "video0", "/dev/video0")
    with pytest.raises(InputError, match=r"^/dev/video0: .* not cameras or streams; record it"), local_file(camera):
        pass


def test_passwords_go_only_to_their_host_and_are_not_shown(files):
    files.answers |= {"/a.png": redirect("/b.png"), "/b.png": body(png())}
    address = files.address.replace("//", "//me:secret@")
    sample = Reader().read(Input(Path("a.png"), "image", "a", f"{address}/a.png"))
    assert sample.path == f"{files.address}/a.png"
    authorizations = [headers.get("Authorization") for _, headers in files.requests]
    assert authorizations == ["Basic bWU6c2VjcmV0", None]


def test_an_address_without_suffix_is_asked_for_its_type(files):
    files.answers["/photo"] = body(png(), headers={"Content-Type": "image/png"})
    files.answers["/stream"] = body(b"", length=None, headers={"Content-Type": "multipart/x-mixed-replace;boundary=x"})
    files.answers["/page"] = body(b"<html>", headers={"Content-Type": "text/html; charset=utf-8"})
    found = list_inputs([files.address + path for path in ("/photo", "/stream", "/page", "/none")], "out")
    assert [(item.kind, item.stem) for item in found.inputs] == [("image", "photo"), ("video", "stream")]
    assert found.unusable[0] == (
        f"{files.address}/page: the server sends text/html; give the address of an image, a video or a stream."
    )
    assert "404 Not Found" in found.unusable[1]


def test_kinds_and_names_of_addresses():
    given = ["https://a.org/x/dog.JPG?w=1", "http://b.org/dog.jpg", "rtsp://u:p@cam/live", "0", "https://a.org/v.mp4"]
    found = list_inputs([*given, given[0], "https://[::1/x.jpg"], "out")
    assert [(item.kind, item.stem) for item in found.inputs] == [
        ("image", "dog"),
        ("image", "dog_2"),
        ("video", "live"),
        ("video", "video0"),
        ("video", "v"),
    ]
    assert [item.name for item in found.inputs][2:4] == ["rtsp://cam/live", "/dev/video0"]
    assert len(found.unusable) == 1
    assert "not a valid address" in found.unusable[0]
    only_images = list_inputs(given, "out", kinds=("image",))
    assert only_images.unusable[0] == "rtsp://cam/live: a video; give images"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://a.org/../../etc/pass%2Fwd.jpg", "wd.jpg"),
        ("https://a.org/%2e%2e", "input"),
        ("https://a.org/.hidden.jpg", "hidden.jpg"),
        ("https://a.org/a:b*c?.jpg", "a_b_c"),
        ("https://a.org/%00%0a.jpg", "__.jpg"),
        ("https://user:pw@a.org", "a.org"),
        (f"https://a.org/{'x' * 300}.jpg", f"{'x' * 80}.jpg"),
    ],
)
def test_names_of_results_are_safe(address, name):
    assert str(address_file_name(address)) == name


def test_files_are_not_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_address("7") == "/dev/video7"
    Path("7").touch()
    assert find_address("7") == ""
    for text in ("photo.jpg", "http.jpg", "file:///etc/passwd", "ftp://a/b.jpg", "/dev/zero", Path("http://a/b.jpg")):
        assert find_address(text) == ""
    assert shown_address("rtsp://u:p@cam:554/x?a=b#c") == "rtsp://cam:554/x?a=b"
