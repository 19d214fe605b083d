"""The endpoint answers as documented; other sites cannot use the server; only uploads are read."""

import json
import re
import socket

import pytest
from served_models import TinyModel
from starlette.testclient import TestClient

from eva_deploy.page.limits import Limits
from eva_deploy.page.startup import prepared_gradio

META = {"_type": "gradio.FileData"}
CONNECTIONS: list[object] = []


def refuse_connection(_: socket.socket, address: object) -> None:
    CONNECTIONS.append(address)
    raise OSError("no network")


@pytest.fixture(scope="module")
def client(model_of):
    from eva_deploy.page.application import build_application

    model: TinyModel = model_of("detection")
    with pytest.MonkeyPatch.context() as patch, prepared_gradio() as folder:
        patch.setattr(socket.socket, "connect", refuse_connection)
        service = model.service(Limits(max_bytes=100_000), score_threshold=0.0)
        application = build_application(service, folder, [], ["eva.example"], "A detector")
        with TestClient(application.handler, "http://127.0.0.1:7860") as client:
            yield client
        application.close()


def test_an_image_is_answered_with_the_document_of_predict(client, photo, model_of):
    answer = client.post("/api/predict", params={"name": "a b.png", "score_threshold": 0.3}, content=photo)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    expected = model_of("detection").service().predict(photo, "a_b.png", options={"score_threshold": 0.3})
    assert answer.text == expected.document + "\n"
    assert answer.json()["score_threshold"] == 0.3


@pytest.mark.parametrize(
    ("query", "headers", "content", "status", "sentence"),
    [
        ("", {}, b"no image", 422, "upload: not a readable image file (its format is unknown); replace or remove"),
        ("?name=x.mp4", {}, b"no video", 422, "x.mp4: not a readable video"),
        ("", {}, bytes(100_001), 413, "the file has more than 100,000 bytes, the limit; send a smaller one."),
        ("?wrong=1", {}, b"", 400, "wrong is not a parameter of this model; give some of name, score_threshold,"),
        ("?labels=a&labels=b", {}, b"", 400, "labels is not a parameter of this model"),
        ("?score_threshold=high", {}, b"", 400, "score_threshold=high is not a number"),
        ("?score_threshold=2", {}, b"", 400, "score_threshold=2 is not a number from 0 to 1"),
        ("?max_detections=0", {}, b"", 400, "max_detections=0 is not a positive number"),
        ("", {"content-type": "multipart/form-data; boundary=x"}, b"", 415, "the body is a form; send the file itself"),
    ],
)
def test_requests_that_cannot_be_answered(query, headers, content, status, sentence, client):
    answer = client.post(f"/api/predict{query}", content=content, headers=headers)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].startswith(sentence)


def test_a_body_of_unknown_length_is_refused(client):
    answer = client.post("/api/predict", content=iter([b"a", b"b"]))
    assert answer.status_code == 411


def test_other_methods_and_pages_are_refused(client):
    assert client.get("/api/predict").status_code == 405
    for path in ("/gradio_api/proxy=http://example.org", "/gradio_api/vibe-code", "/gradio_api/run/predict", "/docs"):
        assert (path, client.get(path).status_code) == (path, 404)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8000"},  # another server on this machine
        {"host": "evil.example", "origin": "http://evil.example"},  # its address has been changed to this machine's
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    ],
)
def test_requests_of_other_sites_are_refused(headers, client, photo):
    assert client.post("/api/predict", content=photo, headers=headers).status_code == 403
    assert client.post("/gradio_api/queue/join", json={}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin"},
        {"host": "localhost:7860", "origin": "http://localhost:7860"},
        {"host": "[::1]:7860"},
        {"host": "eva.example", "origin": "https://eva.example"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},  # a link to the page
    ],
)
def test_requests_of_the_page_are_answered(headers, client):
    answer = client.get("/", headers=headers)
    assert answer.status_code == 200
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def run_event(client: TestClient, data: list) -> str:
    """Send a message as the page does, and return what is answered."""
    message = {"data": data, "fn_index": 0, "session_hash": "session", "event_data": None, "trigger_id": None}
    joined = client.post("/gradio_api/queue/join", json=message)
    if joined.status_code != 200:
        return joined.text
    with client.stream("GET", "/gradio_api/queue/data?session_hash=session") as events:
        for line in events.iter_lines():
            if "process_completed" in line:
                return json.dumps(json.loads(line.removeprefix("data: "))["output"])
    raise AssertionError("no answer")


@pytest.mark.parametrize(
    ("meta", "expected"),
    [({"meta": META}, '{"error": null}'), ({}, "files are uploaded, not named.")],  # by gradio, and by the page
)
def test_files_of_the_server_are_not_inputs(meta, expected, client, photo, tmp_path):
    (tmp_path / "private.png").write_bytes(photo)
    answer = run_event(client, [{"path": str(tmp_path / "private.png"), **meta}, 0.5])
    assert expected in answer


@pytest.mark.parametrize("path", ["http://example.org/a.png", "HTTPS://example.org/a.png", "a.png"])
def test_addresses_are_not_inputs(path, client):
    assert "not named by an address" in run_event(client, [{"path": path, "meta": META}, 0.5])
    assert "not named by an address" in run_event(client, ["", [{"path": path, "meta": META}]])


def test_uploads_are_inputs(client, photo):
    (path,) = client.post("/gradio_api/upload", files={"files": ("a.png", photo)}).json()
    answer = json.loads(run_event(client, [{"path": path, "meta": META}, 0.0]))
    assert re.fullmatch(r"\d+ [\w ]+(, \d+ [\w ]+)*", answer["data"][0])


def test_uploads_and_messages_are_bounded(client):
    assert client.post("/gradio_api/upload", files={"files": ("a.png", bytes(250_000))}).status_code == 413
    assert client.post("/gradio_api/queue/join", content=bytes(1_000_001)).status_code == 413
    assert client.post("/gradio_api/queue/join", content=b"{").status_code == 400


def test_what_the_page_says_about_itself_shows_no_folders(client, model_of):
    config = client.get("/config").text
    assert str(model_of("detection").weights.parent) not in config
    assert json.loads(config)["analytics_enabled"] is False


def test_the_server_connects_to_no_other(client):
    assert client.get("/").status_code == 200
    assert CONNECTIONS == []
